/*-------------------------------------------------------------------------
 *
 * src/agent/token.c
 *		The tokens that a call may show, kept up with their file.  Contract in
 *		token.h.
 *
 *-------------------------------------------------------------------------
 */
#include "token.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "program/bearer.h"
#include "program/file.h"
#include "program/memory.h"

#define LARGEST_FILE	(1024 * 1024)

typedef struct Digest
{
	unsigned char bytes[SHA256_DIGEST_LENGTH];
} Digest;

struct PaTokens
{
	PaFile		file;			/* its text is kept only while it is read */
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

/* takes the tokens of the text; false, with the reason, without a change */
static bool
take_tokens(PaTokens *tokens, char *problem, size_t size)
{
	const char *text = tokens->file.text;
	Digest	   *digests = NULL;
	size_t		count = 0;
	size_t		capacity = 0;
	int			line = 1;

	for (const char *at = text, *end = text + tokens->file.length; at < end; line++)
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
		wrong = pa_bearer_fault(token, (size_t) (after - token));
		if (wrong != NULL)
		{
			free(digests);
			return pa_file_refuse(&tokens->file, problem, size,
								  "the token in line %d %s", line, wrong);
		}
		if (count == capacity)
		{
			capacity = capacity ? capacity * 2 : 8;
			digests = pa_memory_resize(digests, capacity * sizeof(*digests));
		}
		digests[count++] = digest_of(token, (size_t) (after - token));
	}
	if (count == 0)
		return pa_file_refuse(&tokens->file, problem, size,
							  "there is no token in it: one a line is expected");
	free(tokens->digests);
	tokens->digests = digests;
	tokens->count = count;
	return true;
}

/* reads the file anew; false, with the reason, if it cannot be used */
static bool
load(PaTokens *tokens, char *problem, size_t size)
{
	bool		good;

	good = pa_file_read(&tokens->file, problem, size) &&
		take_tokens(tokens, problem, size);
	pa_file_forget(&tokens->file);
	return good;
}

static void
refresh(PaTokens *tokens, bool force)
{
	char		problem[512];
	bool		changed = pa_file_look(&tokens->file);

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

	pa_file_init(&tokens->file, "--token-file", path, PA_FILE_SECRET,
				 LARGEST_FILE);
	if (load(tokens, problem, size))
		return tokens;
	pa_token_close(tokens);
	return NULL;
}

const char *
pa_token_check(PaTokens *tokens, const char *value, size_t length, int count)
{
	const size_t scheme_length = sizeof(PA_BEARER_SCHEME) - 1;
	Digest		digest;
	int			found = 0;

	refresh(tokens, false);
	if (count == 0)
		return "no token: this agent wants metadata \"authorization: Bearer TOKEN\" with each call";
	if (count > 1)
		return "more than one metadata \"authorization\"";
	if (length <= scheme_length ||
		strncasecmp(value, PA_BEARER_SCHEME, scheme_length) != 0)
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
	pa_file_release(&tokens->file);
	free(tokens);
}
