/* objects: agent/account agent/account_file agent/ini_file agent/report agent/units */
/*-------------------------------------------------------------------------
 *
 * test/fuzz/accounts_fuzz.c
 *		The accounts file of the agent: problems that name the file and a line
 *		of it, or accounts whose settings are within their limits.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/account_file.h"
#include "fuzz.h"

static const PaSetting settings[] = {
	{"user", PA_SETTING_TEXT, .required = true},
	{"key", PA_SETTING_TEXT, .required = true, .secret = true},
	{"port", PA_SETTING_NUMBER, .low = 1, .high = 65535},
	{"wait", PA_SETTING_DURATION, .standard = "5s", .high = 60000000},
	{"force", PA_SETTING_FLAG},
	{"from", PA_SETTING_CHOICE, .choices = "file environment"},
	{NULL}
};
static const PaProviderType cloud = {
	.name = "cloud", .synonym = "sky", .settings = settings
};
static const PaProviderType *const types[] = {&cloud, NULL};

static int	lines;
static int	told;

/* "accounts:line: what is wrong", or without a line for the whole file */
static void
check_problem(PaReport *report, const char *text)
{
	const size_t length = strlen("accounts:");
	char	   *end;
	long		line;

	told++;
	must(strcmp(report->file, "accounts") == 0);
	must(strncmp(text, "accounts:", length) == 0);
	line = strtol(text + length, &end, 10);
	if (end != text + length)
		must(line >= 1 && line <= lines && strncmp(end, ": ", 2) == 0);
	must(strlen(end) > 2);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	PaReport	report = {.tell = check_problem, .file = "accounts"};
	PaAccount  *account;

	lines = 1;
	for (const char *at = text; *at; at++)
		lines += *at == '\n';
	told = 0;
	account = pa_account_file_parse(text, types, &report);
	must(report.problems == told);
	must((account == NULL) == (told > 0));
	while (account != NULL)
	{
		PaAccount  *next = account->next;

		must(account->name[0] != '\0');
		must(account->type == &cloud);
		must(pa_account_given(account, "user"));
		must(pa_account_given(account, "key"));
		if (pa_account_given(account, "port"))
			must(pa_account_number(account, "port") >= 1 &&
				 pa_account_number(account, "port") <= 65535);
		must(pa_account_number(account, "wait") >= 0 &&
			 pa_account_number(account, "wait") <= 60000000);
		pa_account_free(account);
		account = next;
	}
	free(text);
	return 0;
}
