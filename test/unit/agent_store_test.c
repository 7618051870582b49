/* objects: agent/store agent/store_file agent/metric */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_store_test.c
 *		What outlives the agent: written in order, there after a crash, and
 *		not taken for what it is not.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1

#include "agent/store.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

#define PATIENCE	60			/* s */

static char directory[] = "/tmp/store-test-XXXXXX";
static PaStore *store;
static char problem[512];

static const char *
path_of(const char *name)
{
	static char paths[4][128];
	static int	next;
	char	   *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static void
wake(void *data)
{
}

static void
open_store(const char *name)
{
	problem[0] = '\0';
	store = pa_store_open(path_of(name), problem, sizeof(problem));
	if (store == NULL)
		printf("# %s\n", problem);
}

static void
remove_store(const char *name)
{
	char		other[140];

	unlink(path_of(name));
	snprintf(other, sizeof(other), "%s-wal", path_of(name));
	unlink(other);
}

/* waits until all that was put is durable, or has failed */
static void
await(bool durable)
{
	uint64_t	ticket = pa_store_last_ticket(store);

	for (int i = 0; i < PATIENCE * 500; i++)
	{
		PaStoreProgress progress = pa_store_progress(store);

		if ((durable ? progress.durable : progress.failed) >= ticket)
			return;
		poll(NULL, 0, 2);
	}
	printf("Bail out! nothing is written\n");
	exit(1);
}

static void
put_answer(uint64_t id, const char *reply, size_t length)
{
	char		request[32];

	snprintf(request, sizeof(request), "r%llu", (unsigned long long) id);
	pa_store_put_answer(store, &(PaStoredAnswer) {
		.id = id, .request_id = request,
		.method = id % 2 == 0 ? PA_METHOD_POWER_ON : PA_METHOD_POWER_OFF,
		.cluster_id = "c", .reply = (const uint8_t *) reply, .length = length
	});
}

/* what a store has, one line each */
static char found[8192];

__attribute__((format(printf, 1, 2)))
static void
add_line(const char *format,...)
{
	size_t		length = strlen(found);
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(found + length, sizeof(found) - length, format, arguments);
	va_end(arguments);
}

static void
list_order(void *data, const PaStoredOrder *order)
{
	add_line("order %llu %s %s %llu/%llu/%llu %s\n",
			 (unsigned long long) order->id, order->source, order->cluster_id,
			 (unsigned long long) order->order.timeline,
			 (unsigned long long) order->order.epoch,
			 (unsigned long long) order->order.counter, order->request_id);
}

static void
list_answer(void *data, const PaStoredAnswer *answer)
{
	add_line("answer %llu %s %d %s %.*s\n", (unsigned long long) answer->id,
			 answer->request_id, answer->method, answer->cluster_id,
			 (int) answer->length, answer->length > 0 ?
			 (const char *) answer->reply : "");
}

static void
list_instance(void *data, const PaStoredInstance *instance)
{
	add_line("instance %s %s %d\n", instance->cluster_id,
			 instance->instance_id, instance->state);
}

static const char *
list_all(void)
{
	found[0] = '\0';
	if (store != NULL &&
		(!pa_store_each_order(store, list_order, NULL, problem, sizeof(problem)) ||
		 !pa_store_each_answer(store, list_answer, NULL, problem, sizeof(problem)) ||
		 !pa_store_each_instance(store, list_instance, NULL, problem,
								 sizeof(problem))))
		return problem;
	return found;
}

static void
copy_file(const char *from, const char *to)
{
	FILE	   *in = fopen(path_of(from), "r");
	int			fd = open(path_of(to), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	char		part[65536];
	size_t		count;

	while (in != NULL && (count = fread(part, 1, sizeof(part), in)) > 0)
		ok(write(fd, part, count) == (ssize_t) count, "%s copied", from);
	if (in != NULL)
		fclose(in);
	close(fd);
}

static const char everything[] =
"order 7 s c 1/2/3 r1\n"
"order 1 7/16384 c \"quoted\" 18446744073709551615/0/9223372036854775808 r\n"
"answer 2 r2 0 c two\n"
"answer 3 r3 1 c \n"
"instance c i-1 1\n"
"instance c i-2 4\n";

static void
test_content(void)
{
	struct stat status;

	umask(0);
	open_store("state");
	ok(store != NULL && stat(path_of("state"), &status) == 0 &&
	   (status.st_mode & 07777) == 0600, "a new file is the owner's alone");
	ok(stat(path_of("state-wal"), &status) != 0 ||
	   (status.st_mode & 07777) == 0600, "and so is its log");
	is_string(list_all(), "", "and empty");
	pa_store_start(store, wake, NULL);
	pa_store_put_order(store, &(PaStoredOrder) {1, 1, "7/16384", "c \"quoted\"", {1, 1, 1}, "r0"});
	pa_store_put_order(store, &(PaStoredOrder) {7, 2, "s", "c", {1, 2, 3}, "r1"});
	pa_store_put_order(store, &(PaStoredOrder) {9, 3, "s", "d", {1, 2, 4}, "r2"});
	pa_store_put_order(store, &(PaStoredOrder) {1, 4, "7/16384", "c \"quoted\"",
		{UINT64_MAX, 0, UINT64_C(1) << 63}, "r"
	});
	pa_store_drop_order(store, 9);
	put_answer(1, "one", 3);
	put_answer(2, "two", 3);
	put_answer(3, NULL, 0);
	pa_store_drop_answer(store, 1);
	pa_store_put_instance(store, &(PaStoredInstance) {"c", "i-1", 2});
	pa_store_put_instance(store, &(PaStoredInstance) {"c", "i-2", 4});
	pa_store_put_instance(store, &(PaStoredInstance) {"c", "i-1", 1});
	await(true);

	/* what a crash would leave, and nobody has closed */
	copy_file("state", "copy");
	copy_file("state-wal", "copy-wal");
	ok(pa_store_open(path_of("state"), problem, sizeof(problem)) == NULL &&
	   strstr(problem, "used by another process"), "one at a time: %s", problem);
	pa_store_close(store);
	ok(stat(path_of("state-wal"), &status) != 0,
	   "closed, it is one file");
	open_store("copy");
	is_string(list_all(), everything, "after a crash all that was durable is there");
	pa_store_close(store);
	open_store("state");
	is_string(list_all(), everything, "and after a proper end");
	pa_store_close(store);

	/* what is put at the end is written, too */
	open_store("state");
	pa_store_start(store, wake, NULL);
	pa_store_drop_order(store, 1);
	pa_store_drop_order(store, 7);
	pa_store_close(store);
	open_store("state");
	ok(strstr(list_all(), "order") == NULL, "the end waits for the queue");
	pa_store_close(store);
	remove_store("copy");
	remove_store("state");
}

/* puts answers without end, and tells how many are durable */
static void
write_until_killed(int fd)
{
	open_store("state");
	pa_store_start(store, wake, NULL);
	for (uint64_t id = 1;; id++)
	{
		uint64_t	durable;

		put_answer(id, "reply", 5);
		durable = pa_store_progress(store).durable;
		if (write(fd, &durable, sizeof(durable)) != sizeof(durable))
			_exit(1);
	}
}

static uint64_t count_of_answers;
static bool in_sequence;

static void
count_answer(void *data, const PaStoredAnswer *answer)
{
	in_sequence = in_sequence && answer->id == ++count_of_answers;
}

static void
test_kill(void)
{
	int			good = 0;
	int			rounds = 20;

	for (int round = 0; round < rounds; round++)
	{
		uint64_t	last = 0;
		uint64_t	durable;
		int			ends[2];
		int			left = 1 + (round * 977) % 6000;
		pid_t		child;

		if (pipe(ends) != 0)
			exit(1);
		child = fork();
		if (child == 0)
		{
			close(ends[0]);
			write_until_killed(ends[1]);
		}
		close(ends[1]);
		/* some have told that there is something; then at any moment */
		while (read(ends[0], &durable, sizeof(durable)) == sizeof(durable))
		{
			last = durable;
			if (durable > 0 && --left == 0)
				kill(child, SIGKILL);
		}
		close(ends[0]);
		waitpid(child, NULL, 0);
		open_store("state");
		count_of_answers = 0;
		in_sequence = true;
		if (store != NULL &&
			pa_store_each_answer(store, count_answer, NULL, problem, sizeof(problem)) &&
			in_sequence && count_of_answers >= last && last > 0)
			good++;
		else
			printf("# told %llu, found %llu, %s\n", (unsigned long long) last,
				   (unsigned long long) count_of_answers, problem);
		if (store != NULL)
			pa_store_close(store);
		remove_store("state");
	}
	is_number(good, rounds,
			  "killed, it has all that it called durable, and nothing out of turn");
}

static void
test_size(void)
{
	static char reply[1000];
	struct stat first;
	struct stat last;

	memset(reply, 'x', sizeof(reply));
	open_store("state");
	pa_store_start(store, wake, NULL);
	for (uint64_t id = 1; id <= 40000; id++)
	{
		put_answer(id, reply, sizeof(reply));
		if (id > 1000)
			pa_store_drop_answer(store, id - 1000);
		if (id % 1000 == 0)
			await(true);
		if (id == 10000)
			stat(path_of("state"), &first);
	}
	stat(path_of("state"), &last);
	pa_store_close(store);
	if (!ok(first.st_size > 1000000 && last.st_size < 2 * first.st_size,
			"room that became free is used again"))
		printf("# %lld, then %lld\n", (long long) first.st_size,
			   (long long) last.st_size);
	remove_store("state");
}

/* opening fails, and says so */
static void
refused(const char *name, const char *reason, const char *what)
{
	problem[0] = '\0';
	store = pa_store_open(path_of(name), problem, sizeof(problem));
	if (!ok(store == NULL && strstr(problem, reason) != NULL &&
			strstr(problem, path_of(name)) != NULL, "refused: %s", what))
		printf("# %s\n", problem);
	if (store != NULL)
		pa_store_close(store);
}

static void
execute(const char *name, const char *sql)
{
	sqlite3    *database;

	if (sqlite3_open(path_of(name), &database) != SQLITE_OK ||
		sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK)
		ok(false, "%s: %s", sql, sqlite3_errmsg(database));
	sqlite3_close(database);
	chmod(path_of(name), 0600);
}

static void
overwrite(const char *name, off_t at, size_t length)
{
	int			fd = open(path_of(name), O_WRONLY | O_CREAT, 0600);
	char		bytes[8192];

	memset(bytes, 'z', sizeof(bytes));
	ok(pwrite(fd, bytes, length, at) == (ssize_t) length, "overwritten");
	close(fd);
}

static void
fill_store(void)
{
	open_store("state");
	pa_store_start(store, wake, NULL);
	for (uint64_t id = 1; id <= 1000; id++)
		put_answer(id, "a reply that takes some room", 28);
	pa_store_close(store);
}

static void
test_refusals(void)
{
	overwrite("state", 0, 5000);
	refused("state", "not a state file of power_agent, or it is damaged",
			"a file of another kind");
	remove_store("state");

	execute("state", "CREATE TABLE something (else_ INTEGER)");
	refused("state", "a database of something else", "a foreign database");
	remove_store("state");

	fill_store();
	execute("state", "PRAGMA user_version = 2");
	refused("state", "of version 2, written by a newer power_agent; this one knows version 1",
			"a newer version");
	remove_store("state");

	fill_store();
	overwrite("state", 8192, 4096);
	refused("state", "it is damaged", "a damaged page");
	remove_store("state");

	fill_store();
	ok(truncate(path_of("state"), 12288) == 0, "cut off");
	refused("state", "it is damaged", "a file that was cut off");
	remove_store("state");

	fill_store();
	execute("state", "PRAGMA ignore_check_constraints = on; UPDATE answer SET method = 'maybe' WHERE id = 500");
	refused("state", "it is damaged", "a row that makes no sense");
	remove_store("state");

	fill_store();
	chmod(path_of("state"), 0640);
	refused("state", "its mode must be 0600", "a file that others can read");
	remove_store("state");

	refused("nowhere/state", "No such file", "a directory that is not there");
	mkdir(path_of("directory"), 0700);
	refused("directory", "not a regular file", "a directory");
	rmdir(path_of("directory"));
	open_store("state");
	pa_store_close(store);
	open_store("state");
	ok(store != NULL, "an empty one of ours is taken");
	if (store != NULL)
		pa_store_close(store);
	remove_store("state");
}

/* a limit of the file size is as good as a full disk */
static void
test_full(void)
{
	static char reply[20000];
	struct rlimit limit;
	struct rlimit small;
	struct stat status;
	uint64_t	before;

	signal(SIGXFSZ, SIG_IGN);
	open_store("state");
	pa_store_start(store, wake, NULL);
	put_answer(1, "one", 3);
	await(true);
	before = pa_store_progress(store).durable;
	ok(pa_store_works(store, problem, sizeof(problem)), "it works");

	/* the log has no room for anything more */
	getrlimit(RLIMIT_FSIZE, &limit);
	small = limit;
	small.rlim_cur = stat(path_of("state-wal"), &status) == 0 ?
		(rlim_t) status.st_size : 0;
	setrlimit(RLIMIT_FSIZE, &small);
	for (uint64_t id = 2; id < 12; id++)
		put_answer(id, reply, sizeof(reply));
	await(false);
	ok(pa_store_progress(store).durable == before, "nothing of it is durable");
	ok(!pa_store_works(store, problem, sizeof(problem)) &&
	   strstr(problem, "the state file cannot be written: disk I/O error (File too large)"),
	   "it tells why: %s", problem);
	put_answer(12, "more", 4);
	setrlimit(RLIMIT_FSIZE, &limit);
	await(true);
	ok(pa_store_works(store, problem, sizeof(problem)), "it works again");
	pa_store_close(store);
	open_store("state");
	count_of_answers = 0;
	in_sequence = true;
	pa_store_each_answer(store, count_answer, NULL, problem, sizeof(problem));
	ok(in_sequence && count_of_answers == 12, "and nothing was lost");
	pa_store_close(store);
	remove_store("state");
}

int
main(void)
{
	if (mkdtemp(directory) == NULL)
		return 1;
	test_content();
	test_kill();
	test_size();
	test_refusals();
	test_full();
	rmdir(directory);
	return unit_done();
}
