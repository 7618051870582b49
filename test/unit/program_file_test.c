/* objects: */
/*-------------------------------------------------------------------------
 *
 * test/unit/program_file_test.c
 *		Files that an option names: who may read them, how much is read, and
 *		what counts as a change.
 *
 *-------------------------------------------------------------------------
 */
#include "program/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "unit.h"

#define LIMIT	10000

static char directory[] = "/tmp/file-test-XXXXXX";
static char path[64];
static char problem[512];

/* in place: the file stays the same */
static void
write_bytes(const char *bytes, size_t length, mode_t mode)
{
	int			fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, bytes, length) != (ssize_t) length ||
		fchmod(fd, mode) != 0 || close(fd) != 0)
	{
		printf("Bail out! could not write %s\n", path);
		exit(1);
	}
}

static void
write_text(const char *text, mode_t mode)
{
	write_bytes(text, strlen(text), mode);
}

/* a file that was read, or not */
static PaFile
read_as(PaFileKind kind)
{
	PaFile		file;

	problem[0] = '\0';
	pa_file_init(&file, "--option", path, kind, LIMIT);
	if (!pa_file_read(&file, problem, sizeof(problem)) && file.text != NULL)
		printf("# there is a text all the same\n");
	return file;
}

static void
accepted(PaFileKind kind, const char *name)
{
	PaFile		file = read_as(kind);

	if (!ok(file.text != NULL, "%s", name))
		printf("# %s\n", problem);
	pa_file_release(&file);
}

static void
refused(PaFileKind kind, const char *expected, const char *name)
{
	PaFile		file = read_as(kind);
	char		start[128];

	snprintf(start, sizeof(start), "--option \"%s\": ", path);
	if (!ok(file.text == NULL && strncmp(problem, start, strlen(start)) == 0 &&
			strstr(problem, expected) != NULL, "%s", name))
		printf("# %s\n", problem);
	pa_file_release(&file);
}

static void
test_secret(void)
{
	bool		root = geteuid() == 0;

	refused(PA_FILE_SECRET, "No such file or directory", "no file");
	write_text("secret", 0600);
	accepted(PA_FILE_SECRET, "mode 0600");
	chmod(path, 0400);
	accepted(PA_FILE_SECRET, "mode 0400");
	chmod(path, 0640);
	if (root)
		accepted(PA_FILE_SECRET, "mode 0640 of root's");
	else
		refused(PA_FILE_SECRET, "mode 0640", "mode 0640 of a user's");
	chmod(path, 0660);
	refused(PA_FILE_SECRET, "(mode 0660): it must have mode 0600 or less",
			"the group may write");
	chmod(path, 0604);
	refused(PA_FILE_SECRET, "mode 0604", "others may read");
	accepted(PA_FILE_REGULAR, "which matters only to secrets");
	chmod(path, 0601);
	refused(PA_FILE_SECRET, "mode 0601",
			"others may execute, which means nothing, but is no 0600");
	chmod(path, 0600);
	if (root && chown(path, 12345, 0) == 0)
	{
		refused(PA_FILE_SECRET, "another user (user id 12345)", "another user's");
		accepted(PA_FILE_REGULAR, "which matters only to secrets");
	}
	unlink(path);
}

static void
test_kind(void)
{
	int			ends[2];
	PaFile		file;

	mkdir(path, 0700);
	refused(PA_FILE_SECRET, "not a regular file", "a directory");
	refused(PA_FILE_REGULAR, "not a regular file", "no secret either");
	rmdir(path);
	/* opening it must not wait for a writer */
	if (mkfifo(path, 0600) == 0)
		refused(PA_FILE_REGULAR, "not a regular file",
				"a FIFO that nobody writes to");
	unlink(path);

	if (pipe(ends) != 0 || write(ends[1], "piped", 5) != 5)
		printf("# no pipe\n");
	close(ends[1]);
	pa_file_init(&file, "--option", "/dev/stdin", PA_FILE_ANY, LIMIT);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	ok(pa_file_read(&file, problem, sizeof(problem)) &&
	   strcmp(file.text, "piped") == 0, "a pipe, where one will do");
	pa_file_release(&file);
}

static void
test_content(void)
{
	static char large[LIMIT + 1];
	PaFile		file;
	PaFile		other;

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char) ('a' + i % 26);
	write_bytes(large, LIMIT, 0600);
	file = read_as(PA_FILE_REGULAR);
	ok(file.text != NULL && file.length == LIMIT &&
	   memcmp(file.text, large, LIMIT) == 0 && file.text[LIMIT] == '\0',
	   "the longest one, all of it, with a NUL at its end");
	large[LIMIT - 1]++;
	write_bytes(large, LIMIT, 0600);
	other = read_as(PA_FILE_REGULAR);
	ok(!pa_file_same_text(&file, &other), "the last byte makes another text");
	pa_file_release(&file);
	ok(!pa_file_same_text(&file, &other), "none is not the same as one");
	file = read_as(PA_FILE_REGULAR);
	ok(pa_file_same_text(&file, &other), "the same text");
	pa_file_release(&file);
	pa_file_release(&other);
	ok(pa_file_same_text(&file, &other), "none is the same as none");

	write_bytes(large, LIMIT + 1, 0600);
	refused(PA_FILE_REGULAR, "larger than 10000 bytes", "one byte more");
	refused(PA_FILE_ANY, "larger than 10000 bytes",
			"which is noticed without its size, too");
	write_text("", 0600);
	accepted(PA_FILE_SECRET, "an empty file");
	write_bytes("a\0b", 3, 0600);
	refused(PA_FILE_ANY, "contains a NUL byte", "what would be cut off there");
	unlink(path);
}

/* for messages that name the file in another way */
static void
test_without_option(void)
{
	PaFile		file;

	pa_file_init(&file, NULL, path, PA_FILE_ANY, LIMIT);
	ok(!pa_file_read(&file, problem, sizeof(problem)), "no file");
	is_string(problem, "No such file or directory", "only what is wrong");
	pa_file_release(&file);
}

static void
test_changes(void)
{
	const struct utimbuf epoch = {1, 1};
	PaFile		file;

	write_text("first", 0600);
	file = read_as(PA_FILE_REGULAR);
	ok(!pa_file_has_changed(&file), "nothing happened since it was read");
	write_text("other", 0600);
	utime(path, &epoch);
	ok(pa_file_has_changed(&file), "written in place, with the same length");
	ok(pa_file_has_changed(&file), "which stays a change");
	ok(pa_file_look(&file), "until somebody looks");
	ok(!pa_file_look(&file) && !pa_file_has_changed(&file), "who has seen it then");
	utime(path, &epoch);
	ok(pa_file_look(&file), "the change of the inode counts");
	chmod(path, 0400);
	ok(pa_file_look(&file), "so do permissions");
	unlink(path);
	ok(pa_file_look(&file), "and a file that is gone");
	ok(!pa_file_look(&file), "once");
	write_text("again", 0600);
	ok(pa_file_look(&file), "and comes back");
	ok(pa_file_read(&file, problem, sizeof(problem)) &&
	   strcmp(file.text, "again") == 0, "to be read again");
	chmod(path, 0604);
	file.kind = PA_FILE_SECRET;
	ok(!pa_file_read(&file, problem, sizeof(problem)) && file.text == NULL,
	   "one that must not be read leaves no text");
	ok(!pa_file_has_changed(&file), "and was seen");
	pa_file_release(&file);
	unlink(path);
}

int
main(void)
{
	if (mkdtemp(directory) == NULL)
	{
		printf("Bail out! no directory\n");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/file", directory);
	test_secret();
	test_kind();
	test_content();
	test_without_option();
	test_changes();
	ok(rmdir(directory) == 0, "no file is left behind");
	return unit_done();
}
