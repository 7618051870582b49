/*-------------------------------------------------------------------------
 *
 * src/agent/account.c
 *		An account: the provider that powers its instances, and the values of
 *		its keys.  Contract in account.h.
 *
 *-------------------------------------------------------------------------
 */
#include "account.h"

#include <stdlib.h>
#include <string.h>

#include "program/secret.h"

void
pa_account_free(PaAccount *account)
{
	while (account->keys != NULL)
	{
		PaAccountKey *key = account->keys;

		account->keys = key->next;
		pa_secret_free(key->value);
		free(key);
	}
	free(account->name);
	free(account);
}

static const PaAccountKey *
find_key(const PaAccount *account, const char *name)
{
	for (const PaAccountKey *key = account->keys; key != NULL; key = key->next)
	{
		if (strcmp(key->setting->name, name) == 0)
			return key;
	}
	return NULL;
}

/* every key of the one is in the other */
static bool
covers(const PaAccount *left, const PaAccount *right)
{
	for (const PaAccountKey *key = right->keys; key != NULL; key = key->next)
	{
		const char *value = pa_account_text(left, key->setting->name);

		if (value == NULL || strcmp(value, key->value) != 0)
			return false;
	}
	return true;
}

bool
pa_account_same(const PaAccount *left, const PaAccount *right)
{
	return left->type == right->type && covers(left, right) &&
		covers(right, left);
}

const char *
pa_account_text(const PaAccount *account, const char *name)
{
	const PaAccountKey *key = find_key(account, name);

	return key ? key->value : NULL;
}

int64_t
pa_account_number(const PaAccount *account, const char *name)
{
	const PaAccountKey *key = find_key(account, name);

	return key ? key->number : 0;
}

bool
pa_account_given(const PaAccount *account, const char *name)
{
	const PaAccountKey *key = find_key(account, name);

	return key != NULL && key->line > 0;
}

int
pa_account_line(const PaAccount *account, const char *name)
{
	const PaAccountKey *key = find_key(account, name);

	return key != NULL && key->line > 0 ? key->line : account->line;
}
