/*-------------------------------------------------------------------------
 *
 * src/agent/token.c
 *		The tokens that a call may show, kept up with their file.  Contract in
 *		token.h.
 *
 *-------------------------------------------------------------------------
 */
/* for explicit_bzero */
#define _GNU_SOURCE 1

#include "token.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "memory.h"

#define LARGEST_FILE	(1024 * 1024)

typedef struct Digest
{
	unsigned char bytes[SHA256_DIGEST_LENGTH];
} Digest;

struct PaTokens
{
	char	   *path;
	struct stat seen;
	Digest	   *digests;
	size_t		count;
};

static bool
is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r';
}

static Digest
digest_of(const char *token, size_t length)
{
	Digest		digest;

	SHA256((const unsigned char *) token, length, digest.bytes);
	return digest;
}

/* what is wrong with a token, NULL if nothing */
static const char *
check_token(const char *token, size_t length)
{
	if (length > PA_TOKEN_LENGTH)
		return "is longer than 16384 bytes";
	for (size_t i = 0; i < length; i++)
	{
		if (token[i] <= ' ' || token[i] > '~')
			return "has a byte that is no printable ASCII, or a blank";
	}
	return NULL;
}

/* takes the tokens of a text; false, with the reason, without a change */
static bool
take_tokens(PaTokens *tokens, const char *text, size_t length, char *problem,
			size_t size)
{
	Digest	   *digests = NULL;
	size_t		count = 0;
	size_t		capacity = 0;
	int			line = 1;

	for (const char *at = text, *end = text + length; at < end; line++)
	{
		const char *newline = memchr(at, '\n', (size_t) (end - at));
		const char *token = at;
		const char *after = newline ? newline : end;
		const char *wrong;

		at = newline ? newline + 1 : end;
		while (token < after && is_blank(*token))
			token++;
		while (token < after && is_blank(after[-1]))
			after--;
		if (token == after)
			continue;
		wrong = check_token(token, (size_t) (after - token));
		if (wrong != NULL)
		{
			snprintf(problem, size, "the token in line %d %s", line, wrong);
			free(digests);
			return false;
		}
		if (count == capacity)
		{
			capacity = capacity ? capacity * 2 : 8;
			digests = pa_memory_resize(digests, capacity * sizeof(*digests));
		}
		digests[count++] = digest_of(token, (size_t) (after - token));
	}
	if (count == 0)
	{
		snprintf(problem, size, "there is no token in it: one a line is expected");
		return false;
	}
	free(tokens->digests);
	tokens->digests = digests;
	tokens->count = count;
	return true;
}

/* reads the file anew; false, with the reason, if it cannot be used */
static bool
load(PaTokens *tokens, char *problem, size_t size)
{
	char		reason[256];
	size_t		length;
	char	   *text;
	bool		good;

	text = pa_file_read(tokens->path, PA_FILE_SECRET, LARGEST_FILE, &length,
						reason, sizeof(reason));
	good = text != NULL &&
		take_tokens(tokens, text, length, reason, sizeof(reason));
	if (text != NULL)
	{
		explicit_bzero(text, length);
		free(text);
	}
	if (!good)
		snprintf(problem, size, "--token-file \"%s\": %s", tokens->path, reason);
	return good;
}

static void
refresh(PaTokens *tokens, bool force)
{
	char		problem[512];
	bool		changed = pa_file_changed(tokens->path, &tokens->seen);

	if (!changed && !force)
		return;
	if (load(tokens, problem, sizeof(problem)))
		fprintf(stderr, "power_agent: read the tokens again: %zu\n",
				tokens->count);
	else
		fprintf(stderr, "power_agent: %s; the tokens stay as they are\n", problem);
}

PaTokens *
pa_token_open(const char *path, char *problem, size_t size)
{
	PaTokens   *tokens = pa_memory_allocate_zeroed(sizeof(*tokens));

	tokens->path = pa_memory_copy_string(path);
	pa_file_changed(path, &tokens->seen);
	if (load(tokens, problem, size))
		return tokens;
	pa_token_close(tokens);
	return NULL;
}

const char *
pa_token_check(PaTokens *tokens, const char *value, size_t length, int count)
{
	static const char scheme[] = "bearer ";
	const size_t scheme_length = sizeof(scheme) - 1;
	Digest		digest;
	int			found = 0;

	refresh(tokens, false);
	if (count == 0)
		return "no token: this agent wants metadata \"authorization: Bearer TOKEN\" with each call";
	if (count > 1)
		return "more than one metadata \"authorization\"";
	if (length <= scheme_length ||
		strncasecmp(value, scheme, scheme_length) != 0)
		return "the metadata \"authorization\" is not of the form \"Bearer TOKEN\"";

	/*
	 * Whoever does not know a token cannot foresee its digest, so how far two
	 * digests agree would tell nothing; compared in constant time all the
	 * same, and with all tokens, whichever it is.
	 */
	digest = digest_of(value + scheme_length, length - scheme_length);
	for (size_t i = 0; i < tokens->count; i++)
		found |= CRYPTO_memcmp(&digest, &tokens->digests[i], sizeof(digest)) == 0;
	return found ? NULL : "the token is not one of this agent's";
}

void
pa_token_reload(PaTokens *tokens)
{
	refresh(tokens, true);
}

void
pa_token_close(PaTokens *tokens)
{
	free(tokens->digests);
	free(tokens->path);
	free(tokens);
}
