/*-------------------------------------------------------------------------
 *
 * test/fault/full_disk.c
 *		A disk that is full, for a server that is started with this library
 *		in LD_PRELOAD.
 *
 * While the file that FULL_DISK names exists, whatever would make a file
 * longer fails with ENOSPC if that file lies below the directory that the
 * first line names (an absolute path, without links).  What is there already
 * can be written over, as on a real disk.  Removing the file makes room.
 *
 * Knows nothing of PostgreSQL.  Called in every process of the server, in any
 * thread; keeps errno unless it fails.  Built by the test that uses it.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* the function that we stand before */
#define NEXT(name) \
	static __typeof__(name) *next; \
	if (next == NULL) \
		next = (__typeof__(name) *) dlsym(RTLD_NEXT, #name)

/* The directory that is full, with a slash at its end; false: none is. */
static bool
full_directory(char *directory, size_t size)
{
	const char *control = getenv("FULL_DISK");
	ssize_t		length;
	int			fd;

	/* by system calls: our own open and read must not come back to us */
	if (control == NULL)
		return false;
	fd = (int) syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = syscall(SYS_read, fd, directory, size - 2);
	syscall(SYS_close, fd);
	if (length <= 0)
		return false;
	directory[length] = '\0';
	directory[strcspn(directory, "\n")] = '\0';
	strcat(directory, "/");
	return true;
}

/* true: this file may not become so long */
static bool
is_full(int fd, off_t end)
{
	int			saved_errno = errno;
	char		directory[PATH_MAX];
	char		link[64];
	char		path[PATH_MAX];
	ssize_t		length;
	struct stat status;
	bool		full = false;

	if (full_directory(directory, sizeof(directory)) &&
		fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
		end > status.st_size)
	{
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		length = readlink(link, path, sizeof(path) - 1);
		if (length > 0)
		{
			path[length] = '\0';
			full = strncmp(path, directory, strlen(directory)) == 0;
		}
	}
	errno = full ? ENOSPC : saved_errno;
	return full;
}

/* Where a write without an offset ends. */
static off_t
end_of_write(int fd, size_t size)
{
	int			saved_errno = errno;
	int			flags = fcntl(fd, F_GETFL);
	off_t		position = lseek(fd, 0, SEEK_CUR);
	struct stat status;

	if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &status) == 0)
		position = status.st_size;
	errno = saved_errno;
	return position < 0 ? 0 : position + (off_t) size;
}

static size_t
total(const struct iovec *parts, int count)
{
	size_t		sum = 0;

	for (int i = 0; i < count; i++)
		sum += parts[i].iov_len;
	return sum;
}

ssize_t
write(int fd, const void *data, size_t size)
{
	NEXT(write);
	return is_full(fd, end_of_write(fd, size)) ? -1 : next(fd, data, size);
}

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
	NEXT(writev);
	return is_full(fd, end_of_write(fd, total(parts, count))) ?
		-1 : next(fd, parts, count);
}

ssize_t
pwrite(int fd, const void *data, size_t size, off_t offset)
{
	NEXT(pwrite);
	return is_full(fd, offset + (off_t) size) ?
		-1 : next(fd, data, size, offset);
}

ssize_t
pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
	NEXT(pwrite64);
	return is_full(fd, (off_t) offset + (off_t) size) ?
		-1 : next(fd, data, size, offset);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	NEXT(pwritev);
	return is_full(fd, offset + (off_t) total(parts, count)) ?
		-1 : next(fd, parts, count, offset);
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
	NEXT(pwritev64);
	return is_full(fd, (off_t) offset + (off_t) total(parts, count)) ?
		-1 : next(fd, parts, count, offset);
}

int
fallocate(int fd, int mode, off_t offset, off_t size)
{
	NEXT(fallocate);
	return is_full(fd, offset + size) ? -1 : next(fd, mode, offset, size);
}

int
fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
	NEXT(fallocate64);
	return is_full(fd, (off_t) (offset + size)) ?
		-1 : next(fd, mode, offset, size);
}

/* these two return the error */
int
posix_fallocate(int fd, off_t offset, off_t size)
{
	NEXT(posix_fallocate);
	return is_full(fd, offset + size) ? ENOSPC : next(fd, offset, size);
}

int
posix_fallocate64(int fd, off64_t offset, off64_t size)
{
	NEXT(posix_fallocate64);
	return is_full(fd, (off_t) (offset + size)) ?
		ENOSPC : next(fd, offset, size);
}
