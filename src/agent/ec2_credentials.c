/*-------------------------------------------------------------------------
 *
 * src/agent/ec2_credentials.c
 *		The keys that an account signs with.  Contract in ec2_credentials.h.
 *
 * From the metadata service in three steps: a token for the session, the
 * name of the role, the keys of the role.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1				/* strptime */

#include "ec2_credentials.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flat_json.h"
#include "ini_file.h"
#include "program/clock.h"
#include "program/file.h"
#include "program/memory.h"
#include "program/secret.h"
#include "table.h"

#define REFRESH_BEFORE	300		/* s before they expire */
#define RETRY_AFTER		5000000	/* us after a failure */
#define RENEW_AFTER		10000000	/* us between two that were refused */
#define ANSWER_LIMIT	65536
#define METADATA_TIMEOUT	3000	/* ms */
#define LARGEST_FILE		(16 * 1024 * 1024)

typedef enum Source
{
	SOURCE_FIXED,				/* file and environment */
	SOURCE_SHARED,
	SOURCE_METADATA
} Source;

typedef enum Step
{
	STEP_TOKEN,
	STEP_ROLE,
	STEP_KEYS
} Step;

struct PaEc2Credentials
{
	const PaAccount *account;
	PaHttpLoop *loop;
	void		(*ready) (void *);
	void	   *data;
	Source		source;
	PaEc2Keys	keys;
	bool		have_keys;
	char		problem[512];	/* why not */

	/* shared */
	PaFile		file;			/* its text is kept only while it is read */

	/* metadata */
	Step		step;
	bool		fetching;
	int64_t		expires;		/* UTC seconds; 0: never */
	int64_t		retry_at;		/* not before, us of pa_clock_now */
	int64_t		renewed_at;
	PaHttpCall	call;
	char	   *token_header;
	char	   *role;
	char		url[1024];
};

static void
forget_keys(PaEc2Keys *keys)
{
	pa_secret_free(keys->access_key);
	pa_secret_free(keys->secret_key);
	pa_secret_free(keys->session_token);
	memset(keys, 0, sizeof(*keys));
}

/* takes over the keys, if they are complete */
static bool
set_keys(PaEc2Credentials *credentials, PaEc2Keys *keys)
{
	if (keys->access_key == NULL || keys->secret_key == NULL ||
		keys->access_key[0] == '\0' || keys->secret_key[0] == '\0')
	{
		forget_keys(keys);
		return false;
	}
	if (keys->session_token != NULL && keys->session_token[0] == '\0')
	{
		pa_secret_free(keys->session_token);
		keys->session_token = NULL;
	}
	forget_keys(&credentials->keys);
	credentials->keys = *keys;
	credentials->have_keys = true;
	credentials->problem[0] = '\0';
	return true;
}

static char *
copy(const char *text)
{
	return text ? pa_memory_copy_string(text) : NULL;
}

static void
fail(PaEc2Credentials *credentials, const char *format,...)
			__attribute__((format(printf, 2, 3)));

static void
fail(PaEc2Credentials *credentials, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(credentials->problem, sizeof(credentials->problem), format,
			  arguments);
	va_end(arguments);
}

/* one profile of a shared credentials file, while it is read */
typedef struct Profile
{
	PaIniReader reader;
	PaReport	report;
	const char *name;
	bool		inside;
	bool		found;
	PaEc2Keys	keys;
	char		problem[256];
} Profile;

static void
take_section(PaIniReader *reader, const char *name, int line)
{
	Profile    *profile = (Profile *) reader;

	profile->inside = strcmp(name, profile->name) == 0;
	if (profile->inside)
		profile->found = true;
}

static void
take_key(PaIniReader *reader, const char *name, const char *value, int line)
{
	Profile    *profile = (Profile *) reader;
	char	  **place;

	if (!profile->inside)
		return;
	if (strcmp(name, "aws_access_key_id") == 0)
		place = &profile->keys.access_key;
	else if (strcmp(name, "aws_secret_access_key") == 0)
		place = &profile->keys.secret_key;
	else if (strcmp(name, "aws_session_token") == 0)
		place = &profile->keys.session_token;
	else
		return;
	pa_secret_free(*place);
	*place = pa_memory_copy_string(value);
}

static void
take_problem(PaReport *report, const char *text)
{
	Profile    *profile = PA_CONTAINER(report, Profile, report);

	snprintf(profile->problem, sizeof(profile->problem), "%s", text);
}

/* reads the shared file if it is another one than before */
static void
read_shared(PaEc2Credentials *credentials)
{
	PaFile	   *file = &credentials->file;
	char		problem[300];
	Profile		profile = {
		.reader = {.section = take_section, .key = take_key,
		.report = &profile.report},
		.report = {.tell = take_problem, .file = file->path},
		.name = pa_account_text(credentials->account, "profile")
	};

	if (file->path == NULL)
	{
		fail(credentials, "where the shared credentials file is, neither \"credentials_file\" nor AWS_SHARED_CREDENTIALS_FILE nor HOME says");
		return;
	}
	if (credentials->have_keys && !pa_file_has_changed(file))
		return;
	if (profile.name == NULL)
		profile.name = getenv("AWS_PROFILE");
	if (profile.name == NULL)
		profile.name = "default";
	if (!pa_file_read(file, problem, sizeof(problem)))
	{
		/* what was read before may be good still */
		fail(credentials, "shared credentials file: %s", problem);
		return;
	}
	pa_ini_read(&profile.reader, file->text);
	pa_file_forget(file);
	if (!profile.found)
		fail(credentials, "the shared credentials file has no profile \"%.100s\"",
			 profile.name);
	else if (profile.problem[0] != '\0')
		fail(credentials, "%s", profile.problem);
	else if (set_keys(credentials, &profile.keys))
		return;
	else
		fail(credentials, "profile \"%.100s\" of the shared credentials file lacks aws_access_key_id or aws_secret_access_key",
			 profile.name);
	forget_keys(&profile.keys);
}

static void
end_fetching(PaEc2Credentials *credentials, bool good)
{
	credentials->fetching = false;
	if (!good)
		credentials->retry_at = pa_clock_now() + RETRY_AFTER;
	else
		credentials->retry_at = 0;
	credentials->ready(credentials->data);
}

/* the keys of the role have come */
static bool
take_keys(PaEc2Credentials *credentials, const char *answer)
{
	PaEc2Keys	keys = {
		.access_key = pa_flat_json_string(answer, "AccessKeyId"),
		.secret_key = pa_flat_json_string(answer, "SecretAccessKey"),
		.session_token = pa_flat_json_string(answer, "Token")
	};
	char	   *expiration = pa_flat_json_string(answer, "Expiration");
	struct tm	broken = {0};

	if (expiration == NULL ||
		strptime(expiration, "%Y-%m-%dT%H:%M:%S", &broken) == NULL ||
		!set_keys(credentials, &keys))
	{
		forget_keys(&keys);
		pa_secret_free(expiration);
		fail(credentials, "instance metadata service: its answer has no keys");
		return false;
	}
	credentials->expires = timegm(&broken);
	pa_secret_free(expiration);
	return true;
}

static void next_step(PaEc2Credentials *credentials);

static void
step_done(PaHttpCall *call)
{
	PaEc2Credentials *credentials = PA_CONTAINER(call, PaEc2Credentials, call);

	if (call->status != 200)
	{
		if (call->status == 0)
			fail(credentials, "instance metadata service: %.200s", call->problem);
		else if (credentials->step == STEP_ROLE && call->status == 404)
			fail(credentials, "instance metadata service: this machine has no role");
		else
			fail(credentials, "instance metadata service: it answers with HTTP status %d",
				 call->status);
		end_fetching(credentials, false);
		return;
	}
	switch (credentials->step)
	{
		case STEP_TOKEN:
			{
				size_t		room = call->length + 32;

				if (call->length == 0 || strpbrk(call->answer, "\r\n") != NULL)
				{
					fail(credentials, "instance metadata service: its token is not valid");
					end_fetching(credentials, false);
					return;
				}
				pa_secret_free(credentials->token_header);
				credentials->token_header = pa_memory_allocate(room);
				snprintf(credentials->token_header, room,
						 "X-aws-ec2-metadata-token: %s", call->answer);
				credentials->step = STEP_ROLE;
				break;
			}
		case STEP_ROLE:
			/* one name a line, in fact only one */
			free(credentials->role);
			credentials->role = pa_memory_copy_string(call->answer);
			credentials->role[strcspn(credentials->role, "\r\n")] = '\0';
			if (credentials->role[0] == '\0' ||
				strspn(credentials->role, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+=,.@_-") !=
				strlen(credentials->role))
			{
				fail(credentials, "instance metadata service: this machine has no role");
				end_fetching(credentials, false);
				return;
			}
			credentials->step = STEP_KEYS;
			break;
		case STEP_KEYS:
			end_fetching(credentials, take_keys(credentials, call->answer));
			return;
	}
	next_step(credentials);
}

static void
next_step(PaEc2Credentials *credentials)
{
	PaHttpCall *call = &credentials->call;
	bool		token = credentials->step == STEP_TOKEN;

	snprintf(credentials->url, sizeof(credentials->url), "%s/latest/%s%s",
			 pa_account_text(credentials->account, "imds_endpoint"),
			 token ? "api/token" : "meta-data/iam/security-credentials/",
			 credentials->step == STEP_KEYS ? credentials->role : "");
	memset(call, 0, sizeof(*call));
	call->method = token ? "PUT" : "GET";
	call->url = credentials->url;
	call->headers[0] = token ? "X-aws-ec2-metadata-token-ttl-seconds: 21600" :
		credentials->token_header;
	call->timeout = METADATA_TIMEOUT;
	call->direct = true;
	call->limit = ANSWER_LIMIT;
	call->done = step_done;
	pa_http_start(credentials->loop, call);
}

/* true: being fetched */
static bool
fetch(PaEc2Credentials *credentials)
{
	if (credentials->fetching)
		return true;
	if (pa_clock_now() < credentials->retry_at)
		return false;
	credentials->fetching = true;
	credentials->step = STEP_TOKEN;
	next_step(credentials);
	return true;
}

PaEc2Credentials *
pa_ec2_credentials_create(const PaAccount *account, PaHttpLoop *loop,
						  void (*ready) (void *), void *data)
{
	PaEc2Credentials *credentials = pa_memory_allocate_zeroed(sizeof(*credentials));
	const char *source = pa_account_text(account, "credentials");
	PaEc2Keys	keys = {0};

	credentials->account = account;
	credentials->loop = loop;
	credentials->ready = ready;
	credentials->data = data;
	if (strcmp(source, "file") == 0)
	{
		keys.access_key = copy(pa_account_text(account, "user"));
		keys.secret_key = copy(pa_account_text(account, "key"));
		keys.session_token = copy(pa_account_text(account, "session_token"));
		set_keys(credentials, &keys);
	}
	else if (strcmp(source, "environment") == 0)
	{
		keys.access_key = copy(getenv("AWS_ACCESS_KEY_ID"));
		keys.secret_key = copy(getenv("AWS_SECRET_ACCESS_KEY"));
		keys.session_token = copy(getenv("AWS_SESSION_TOKEN"));
		if (!set_keys(credentials, &keys))
			fail(credentials, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not in the environment");
	}
	else if (strcmp(source, "shared") == 0)
	{
		const char *path = pa_account_text(account, "credentials_file");
		const char *home = getenv("HOME");
		char	   *standard = NULL;

		credentials->source = SOURCE_SHARED;
		if (path == NULL)
			path = getenv("AWS_SHARED_CREDENTIALS_FILE");
		if (path == NULL && home != NULL)
		{
			size_t		room = strlen(home) + 32;

			path = standard = pa_memory_allocate(room);
			snprintf(standard, room, "%s/.aws/credentials", home);
		}
		pa_file_init(&credentials->file, NULL, path, PA_FILE_SECRET,
					 LARGEST_FILE);
		free(standard);
	}
	else
		credentials->source = SOURCE_METADATA;
	return credentials;
}

const PaEc2Keys *
pa_ec2_credentials_get(PaEc2Credentials *credentials, bool *pending,
					   const char **problem)
{
	*pending = false;
	*problem = credentials->problem;
	if (credentials->source == SOURCE_SHARED)
		read_shared(credentials);
	else if (credentials->source == SOURCE_METADATA)
	{
		int64_t		left = credentials->expires - (int64_t) time(NULL);

		if (credentials->have_keys && left <= 0)
			credentials->have_keys = false;
		if (!credentials->have_keys)
			*pending = fetch(credentials);
		else if (left < REFRESH_BEFORE)
			fetch(credentials);
	}
	return credentials->have_keys ? &credentials->keys : NULL;
}

bool
pa_ec2_credentials_may_come(const PaEc2Credentials *credentials)
{
	return credentials->source == SOURCE_METADATA;
}

bool
pa_ec2_credentials_renew(PaEc2Credentials *credentials,
						 const char *refused_access_key)
{
	int64_t		now = pa_clock_now();

	if (credentials->source == SOURCE_FIXED)
		return false;
	/* somebody else was refused before, and there are new ones since */
	if (!credentials->have_keys ||
		strcmp(credentials->keys.access_key, refused_access_key) != 0)
		return true;
	if (credentials->renewed_at != 0 &&
		now - credentials->renewed_at < RENEW_AFTER)
		return false;
	credentials->renewed_at = now;
	credentials->have_keys = false;
	return true;
}

void
pa_ec2_credentials_free(PaEc2Credentials *credentials)
{
	pa_http_cancel(credentials->loop, &credentials->call);
	forget_keys(&credentials->keys);
	pa_secret_free(credentials->token_header);
	free(credentials->role);
	pa_file_release(&credentials->file);
	free(credentials);
}
