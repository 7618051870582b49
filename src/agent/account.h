/*-------------------------------------------------------------------------
 *
 * src/agent/account.h
 *		An account: the provider that powers its instances, and the values of
 *		its keys.
 *
 * Made by account_file.c.  An account does not change once it is read: any
 * thread may read it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_ACCOUNT_H
#define PA_AGENT_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

struct PaProviderType;

#define PA_ACCOUNT_OTHERS	"*" /* name of the section for all others */

typedef enum PaSettingKind
{
	PA_SETTING_TEXT,
	PA_SETTING_NUMBER,			/* from low to high */
	PA_SETTING_DURATION,		/* us, from low to high */
	PA_SETTING_FLAG,			/* on or off, yes or no, true or false */
	PA_SETTING_CHOICE			/* one of the words in "choices" */
} PaSettingKind;

/* a key; an array of them ends with one without a name */
typedef struct PaSetting
{
	const char *name;
	PaSettingKind kind;
	bool		required;
	bool		secret;			/* never shown */
	const char *standard;		/* its value if not given; NULL: none */
	int64_t		low;
	int64_t		high;
	const char *choices;		/* with a blank between them */
} PaSetting;

typedef struct PaAccountKey
{
	const PaSetting *setting;
	char	   *value;
	int			line;			/* 0: not given, the standard value */
	int64_t		number;			/* what NUMBER, DURATION and FLAG mean */
	struct PaAccountKey *next;
} PaAccountKey;

typedef struct PaAccount
{
	char	   *name;
	int			line;			/* of its section */
	const struct PaProviderType *type;
	PaAccountKey *keys;
	struct PaAccount *next;
} PaAccount;

/* overwrites the secrets */
extern void pa_account_free(PaAccount *account);

/* the same type and the same values; the names do not count */
extern bool pa_account_same(const PaAccount *left, const PaAccount *right);

/*
 * The value of a key that the account's type has.  Text: NULL if there is
 * none.  The number of one that is neither given nor has a standard value
 * is 0.
 */
extern const char *pa_account_text(const PaAccount *account, const char *key);
extern int64_t pa_account_number(const PaAccount *account, const char *key);

/* where it was given; the section's line if it was not */
extern int	pa_account_line(const PaAccount *account, const char *key);

/* it was given, not left to the standard value */
extern bool pa_account_given(const PaAccount *account, const char *key);

#endif							/* PA_AGENT_ACCOUNT_H */
