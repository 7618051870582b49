/*-------------------------------------------------------------------------
 *
 * src/agent/store_file.c
 *		The SQLite database of the store.  Contract in store_file.h.
 *
 * The database is in WAL mode with synchronous = FULL: a transaction is one
 * flush of the log.  The file is locked for the process alone, which also
 * spares the shared memory of WAL mode.  Rows are bounded as the memory is,
 * and their pages are used again: the file does not grow for ever.
 *
 *-------------------------------------------------------------------------
 */
/* for O_CLOEXEC and O_DIRECTORY */
#define _GNU_SOURCE 1

#include "store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program/memory.h"

#define APPLICATION_ID		1886863699	/* "pwAS" */
#define VERSION				1

#define GIVE_UP \
	"restore it, or move it and its -wal away to start without a memory"

#define QUOTED(value)		#value
#define TEXT(value)			QUOTED(value)

/* numbers from the network are unsigned, and here the same 64 bits, signed */
static const char schema[] =
"BEGIN IMMEDIATE;"
"CREATE TABLE newest_order ("
" id INTEGER PRIMARY KEY,"
" used INTEGER NOT NULL,"
" source TEXT NOT NULL,"
" cluster_id TEXT NOT NULL,"
" timeline INTEGER NOT NULL,"
" epoch INTEGER NOT NULL,"
" counter INTEGER NOT NULL,"
" request_id TEXT NOT NULL) STRICT;"
"CREATE TABLE answer ("
" id INTEGER PRIMARY KEY,"
" request_id TEXT NOT NULL,"
" method TEXT NOT NULL CHECK (method IN ('on', 'off')),"
" cluster_id TEXT NOT NULL,"
" reply BLOB NOT NULL) STRICT;"
"CREATE TABLE simulated_instance ("
" cluster_id TEXT NOT NULL,"
" instance_id TEXT NOT NULL,"
" state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 5),"
" PRIMARY KEY (cluster_id, instance_id)) STRICT, WITHOUT ROWID;"
"PRAGMA application_id = " TEXT(APPLICATION_ID) ";"
"PRAGMA user_version = " TEXT(VERSION) ";"
"COMMIT";

static const char *const statements[PA_RECORD_KINDS] = {
	[PA_RECORD_PUT_ORDER] = "INSERT OR REPLACE INTO newest_order (id, used,"
	" timeline, epoch, counter, source, cluster_id, request_id)"
	" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[PA_RECORD_DROP_ORDER] = "DELETE FROM newest_order WHERE id = ?1",
	[PA_RECORD_PUT_ANSWER] = "INSERT OR REPLACE INTO answer (id, method,"
	" request_id, cluster_id, reply) VALUES (?1, ?2, ?3, ?4, ?5)",
	[PA_RECORD_DROP_ANSWER] = "DELETE FROM answer WHERE id = ?1",
	[PA_RECORD_PUT_INSTANCE] = "INSERT OR REPLACE INTO simulated_instance"
	" (state, cluster_id, instance_id) VALUES (?1, ?2, ?3)"
};

static const char *const method_words[] = {
	[PA_METHOD_POWER_ON] = "on",
	[PA_METHOD_POWER_OFF] = "off"
};

struct PaStoreFile
{
	char	   *path;
	sqlite3    *database;
	sqlite3_stmt *prepared[PA_RECORD_KINDS];
};

static bool fault(char *problem, size_t size, const PaStoreFile *file,
				  const char *format,...)
			__attribute__((format(printf, 4, 5)));

/* writes the reason and returns false */
static bool
fault(char *problem, size_t size, const PaStoreFile *file, const char *format,...)
{
	va_list		arguments;
	int			length = snprintf(problem, size, "state file \"%s\": ",
								  file->path);

	if (length < 0 || (size_t) length >= size)
		return false;
	va_start(arguments, format);
	vsnprintf(problem + length, size - (size_t) length, format, arguments);
	va_end(arguments);
	return false;
}

/*
 * What SQLite says of the last failure, and the system with it.  SQLite does
 * not always keep the number of a failed write; errno still has it.
 */
static void
describe(const PaStoreFile *file, char *text, size_t size)
{
	int			number = errno;
	int			code = sqlite3_errcode(file->database);

	if (sqlite3_system_errno(file->database) != 0)
		number = sqlite3_system_errno(file->database);
	if ((code == SQLITE_IOERR || code == SQLITE_CANTOPEN) && number != 0)
		snprintf(text, size, "%s (%s)", sqlite3_errmsg(file->database),
				 strerror(number));
	else
		snprintf(text, size, "%s", sqlite3_errmsg(file->database));
}

static bool
sqlite_fault(const PaStoreFile *file, char *problem, size_t size)
{
	char		text[256];

	switch (sqlite3_errcode(file->database))
	{
		case SQLITE_BUSY:
			return fault(problem, size, file,
						 "it is used by another process; each agent needs a file of its own");
		case SQLITE_NOTADB:
			return fault(problem, size, file,
						 "it is not a state file of power_agent, or it is damaged: " GIVE_UP);
		case SQLITE_CORRUPT:
			return fault(problem, size, file, "it is damaged (%s): " GIVE_UP,
						 sqlite3_errmsg(file->database));
		default:
			describe(file, text, sizeof(text));
			return fault(problem, size, file, "%s", text);
	}
}

/* flushes the directory, so that a new file is found after a loss of power */
static void
flush_directory(const char *path)
{
	char	   *copy = pa_memory_copy_string(path);
	int			fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
	{
		fsync(fd);
		close(fd);
	}
	free(copy);
}

/*
 * Makes the file if there is none: SQLite would let everybody read it.  Who
 * can write it decides what is done, who can read it learns what was.
 */
static bool
prepare_file(const PaStoreFile *file, char *problem, size_t size)
{
	struct stat status;
	int			fd = open(file->path,
						  O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
	{
		close(fd);
		flush_directory(file->path);
		return true;
	}
	if (errno != EEXIST || stat(file->path, &status) != 0)
		return fault(problem, size, file, "%s", strerror(errno));
	if (!S_ISREG(status.st_mode))
		return fault(problem, size, file, "it is not a regular file");
	if (status.st_uid != geteuid())
		return fault(problem, size, file,
					 "it must be owned by the user that the agent runs as");
	if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return fault(problem, size, file,
					 "others can access it: its mode must be 0600 or less");
	return true;
}

static bool
execute(PaStoreFile *file, const char *sql, char *problem, size_t size)
{
	if (sqlite3_exec(file->database, sql, NULL, NULL, NULL) == SQLITE_OK)
		return true;
	return sqlite_fault(file, problem, size);
}

/* the first column of the only row of a query, as text */
static bool
query(PaStoreFile *file, const char *sql, char *result, size_t result_size,
	  char *problem, size_t size)
{
	sqlite3_stmt *statement;
	bool		good = false;

	if (sqlite3_prepare_v2(file->database, sql, -1, &statement, NULL) == SQLITE_OK)
	{
		good = sqlite3_step(statement) == SQLITE_ROW;
		if (good)
		{
			const char *text = (const char *) sqlite3_column_text(statement, 0);

			snprintf(result, result_size, "%s", text ? text : "");
		}
		else
			sqlite_fault(file, problem, size);
		sqlite3_finalize(statement);
	}
	else
		sqlite_fault(file, problem, size);
	return good;
}

/* finds out whose file it is, and makes it ours if it is new */
static bool
check_content(PaStoreFile *file, char *problem, size_t size)
{
	char		application[32];
	char		version[32];
	char		tables[32];
	char		damage[256];
	long		number;

	if (!query(file, "PRAGMA application_id", application, sizeof(application),
			   problem, size) ||
		!query(file, "PRAGMA user_version", version, sizeof(version), problem,
			   size) ||
		!query(file, "SELECT count(*) FROM sqlite_schema", tables,
			   sizeof(tables), problem, size))
		return false;
	if (strcmp(application, "0") == 0 && strcmp(version, "0") == 0 &&
		strcmp(tables, "0") == 0)
		return execute(file, "PRAGMA journal_mode = WAL", problem, size) &&
			execute(file, schema, problem, size);
	if (strcmp(application, TEXT(APPLICATION_ID)) != 0)
		return fault(problem, size, file,
					 "it is a database of something else, not a state file of power_agent");
	number = strtol(version, NULL, 10);
	if (number > VERSION)
		return fault(problem, size, file,
					 "it is of version %.20s, written by a newer power_agent; this one knows version %d",
					 version, VERSION);
	if (number != VERSION)
		return fault(problem, size, file,
					 "it is damaged (version %.20s): " GIVE_UP, version);
	if (!query(file, "PRAGMA quick_check(1)", damage, sizeof(damage), problem,
			   size))
		return false;
	if (strcmp(damage, "ok") != 0)
		return fault(problem, size, file, "it is damaged (%s): " GIVE_UP,
					 damage);
	return execute(file, "PRAGMA journal_mode = WAL", problem, size);
}

static bool
open_database(PaStoreFile *file, char *problem, size_t size)
{
	int			result = sqlite3_open_v2(file->path, &file->database,
										 SQLITE_OPEN_READWRITE |
										 SQLITE_OPEN_NOMUTEX |
										 SQLITE_OPEN_PRIVATECACHE, NULL);

	if (file->database == NULL)
		return fault(problem, size, file, "out of memory");
	if (result != SQLITE_OK)
		return sqlite_fault(file, problem, size);
	sqlite3_db_config(file->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);

	/* the lock is taken by the first query, and kept */
	if (!execute(file,
				 "PRAGMA locking_mode = EXCLUSIVE;"
				 "PRAGMA trusted_schema = OFF;"
				 "PRAGMA cell_size_check = ON;"
				 "PRAGMA synchronous = FULL;"
				 "PRAGMA temp_store = MEMORY;"
				 "PRAGMA journal_size_limit = 16777216", problem, size) ||
		!check_content(file, problem, size) ||
	/* one that only reads does not lock others out of a new file */
		!execute(file, "BEGIN EXCLUSIVE; COMMIT", problem, size))
		return false;
	for (int kind = 0; kind < PA_RECORD_KINDS; kind++)
	{
		if (sqlite3_prepare_v3(file->database, statements[kind], -1,
							   SQLITE_PREPARE_PERSISTENT,
							   &file->prepared[kind], NULL) != SQLITE_OK)
			return sqlite_fault(file, problem, size);
	}
	return true;
}

PaStoreFile *
pa_store_file_open(const char *path, char *problem, size_t size)
{
	PaStoreFile *file = pa_memory_allocate_zeroed(sizeof(*file));

	file->path = pa_memory_copy_string(path);
	if (prepare_file(file, problem, size) &&
		open_database(file, problem, size))
		return file;
	pa_store_file_close(file);
	return NULL;
}

void
pa_store_file_close(PaStoreFile *file)
{
	for (int kind = 0; kind < PA_RECORD_KINDS; kind++)
		sqlite3_finalize(file->prepared[kind]);
	sqlite3_close(file->database);
	free(file->path);
	free(file);
}

static const char *
text_column(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *) sqlite3_column_text(statement, column);

	return text ? text : "";
}

static uint64_t
number_column(sqlite3_stmt *statement, int column)
{
	return (uint64_t) sqlite3_column_int64(statement, column);
}

/* ends a query; step's last result tells whether all rows were read */
static bool
end_query(PaStoreFile *file, sqlite3_stmt *statement, int result, char *problem,
		  size_t size)
{
	bool		good = result == SQLITE_DONE;

	if (!good)
		sqlite_fault(file, problem, size);
	sqlite3_finalize(statement);
	return good;
}

bool
pa_store_file_each_order(PaStoreFile *file, PaTakeOrder take,
						 void *data, char *problem, size_t size)
{
	sqlite3_stmt *statement = NULL;
	int			result;

	result = sqlite3_prepare_v2(file->database,
								"SELECT id, used, timeline, epoch, counter, source,"
								" cluster_id, request_id FROM newest_order ORDER BY used",
								-1, &statement, NULL);
	while (result == SQLITE_OK || result == SQLITE_ROW)
	{
		result = sqlite3_step(statement);
		if (result == SQLITE_ROW)
		{
			PaStoredOrder order = {
				.id = number_column(statement, 0),
				.used = number_column(statement, 1),
				.order = {
					number_column(statement, 2), number_column(statement, 3),
					number_column(statement, 4)
				},
				.source = text_column(statement, 5),
				.cluster_id = text_column(statement, 6),
				.request_id = text_column(statement, 7)
			};

			take(data, &order);
		}
	}
	return end_query(file, statement, result, problem, size);
}

bool
pa_store_file_each_answer(PaStoreFile *file, PaTakeAnswer take,
						  void *data, char *problem, size_t size)
{
	sqlite3_stmt *statement = NULL;
	int			result;

	result = sqlite3_prepare_v2(file->database,
								"SELECT id, method, request_id, cluster_id, reply"
								" FROM answer ORDER BY id", -1, &statement, NULL);
	while (result == SQLITE_OK || result == SQLITE_ROW)
	{
		result = sqlite3_step(statement);
		if (result == SQLITE_ROW)
		{
			bool		on = strcmp(text_column(statement, 1), "on") == 0;
			PaStoredAnswer answer = {
				.id = number_column(statement, 0),
				.method = on ? PA_METHOD_POWER_ON : PA_METHOD_POWER_OFF,
				.request_id = text_column(statement, 2),
				.cluster_id = text_column(statement, 3),
				.reply = sqlite3_column_blob(statement, 4),
				.length = (size_t) sqlite3_column_bytes(statement, 4)
			};

			take(data, &answer);
		}
	}
	return end_query(file, statement, result, problem, size);
}

bool
pa_store_file_each_instance(PaStoreFile *file, PaTakeInstance take,
							void *data, char *problem, size_t size)
{
	sqlite3_stmt *statement = NULL;
	int			result;

	result = sqlite3_prepare_v2(file->database,
								"SELECT cluster_id, instance_id, state"
								" FROM simulated_instance", -1, &statement, NULL);
	while (result == SQLITE_OK || result == SQLITE_ROW)
	{
		result = sqlite3_step(statement);
		if (result == SQLITE_ROW)
		{
			PaStoredInstance instance = {
				.cluster_id = text_column(statement, 0),
				.instance_id = text_column(statement, 1),
				.state = sqlite3_column_int(statement, 2)
			};

			take(data, &instance);
		}
	}
	return end_query(file, statement, result, problem, size);
}

/* binds what the record has, in the order of its statement, and executes it */
static int
write_record(PaStoreFile *file, const PaRecord *record)
{
	sqlite3_stmt *statement = file->prepared[record->kind];
	int			next = 1;
	int			result;

	if (record->kind != PA_RECORD_PUT_INSTANCE)
		sqlite3_bind_int64(statement, next++, (sqlite3_int64) record->id);
	else
		sqlite3_bind_int(statement, next++, record->word);
	if (record->kind == PA_RECORD_PUT_ORDER)
	{
		sqlite3_bind_int64(statement, next++, (sqlite3_int64) record->used);
		sqlite3_bind_int64(statement, next++,
						   (sqlite3_int64) record->order.timeline);
		sqlite3_bind_int64(statement, next++,
						   (sqlite3_int64) record->order.epoch);
		sqlite3_bind_int64(statement, next++,
						   (sqlite3_int64) record->order.counter);
	}
	if (record->kind == PA_RECORD_PUT_ANSWER)
		sqlite3_bind_text(statement, next++, method_words[record->word], -1,
						  SQLITE_STATIC);
	for (int i = 0; i < PA_RECORD_TEXTS && record->texts[i] != NULL; i++)
		sqlite3_bind_text(statement, next++, record->texts[i], -1,
						  SQLITE_STATIC);
	if (record->kind == PA_RECORD_PUT_ANSWER)
		/* no bytes at all are a reply, too, and not null */
		sqlite3_bind_blob(statement, next++,
						  record->length > 0 ? (const void *) record->reply : "",
						  (int) record->length, SQLITE_STATIC);
	result = sqlite3_step(statement);
	sqlite3_reset(statement);
	return result == SQLITE_DONE ? SQLITE_OK : result;
}

bool
pa_store_file_write(PaStoreFile *file, const PaRecord *first, char *reason,
					size_t size)
{
	int			result;

	errno = 0;
	result = sqlite3_exec(file->database, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	for (const PaRecord *record = first;
		 record != NULL && result == SQLITE_OK; record = record->next)
		result = write_record(file, record);
	if (result == SQLITE_OK)
		result = sqlite3_exec(file->database, "COMMIT", NULL, NULL, NULL);
	if (result == SQLITE_OK)
		return true;
	describe(file, reason, size);
	if (!sqlite3_get_autocommit(file->database))
		sqlite3_exec(file->database, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

