/* objects: agent/account agent/account_file agent/ini_file agent/report agent/units */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_account_test.c
 *		The accounts file: what is read, and what is wrong with it where.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/account_file.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static const PaSetting cloud_settings[] = {
	{"user", PA_SETTING_TEXT, .required = true},
	{"key", PA_SETTING_TEXT, .required = true, .secret = true},
	{"port", PA_SETTING_NUMBER, .low = 1, .high = 65535, .secret = false},
	{"secret_number", PA_SETTING_NUMBER, .low = 1, .high = 9, .secret = true},
	{"wait", PA_SETTING_DURATION, .standard = "5s", .high = 60000000},
	{"force", PA_SETTING_FLAG},
	{"from", PA_SETTING_CHOICE, .choices = "file environment"},
	{NULL}
};

static void
check_cloud(const PaAccount *account, PaReport *report)
{
	if (pa_account_given(account, "port") && !pa_account_number(account, "force"))
		pa_report_problem(report, pa_account_line(account, "port"),
						  "port needs force");
}

static const PaSetting plain_settings[] = {{NULL}};

static const PaProviderType cloud = {
	.name = "cloud", .synonym = "sky", .settings = cloud_settings,
	.check = check_cloud
};
static const PaProviderType plain = {
	.name = "plain", .settings = plain_settings
};
static const PaProviderType left_out = {
	.name = "left-out", .absent = "build it in"
};
static const PaProviderType *const types[] = {&cloud, &left_out, &plain, NULL};

static char told[4096];

static void
tell(PaReport *report, const char *text)
{
	strcat(told, text);
	strcat(told, "\n");
}

static void
free_all(PaAccount *account)
{
	while (account != NULL)
	{
		PaAccount  *next = account->next;

		pa_account_free(account);
		account = next;
	}
}

static PaAccount *
parse(const char *text)
{
	PaReport	report = {.tell = tell, .file = "a.ini"};

	told[0] = '\0';
	return pa_account_file_parse(text, types, &report);
}

/* the text has just these problems */
static void
refused(const char *text, const char *problems, const char *name)
{
	PaAccount  *accounts = parse(text);

	is_string(told, problems, name);
	ok(accounts == NULL, "and gives no account");
	free_all(accounts);
}

static void
test_reading(void)
{
	PaAccount  *accounts;

	accounts = parse("\xef\xbb\xbf# accounts\n"
					 "[one] ; the first\n"
					 "  key = a=b:c#d;e   ; not shown\r\n"
					 "  user: u\n"
					 "\tprovider = sky\n"
					 "force = Yes\n"
					 "port = 80\n"
					 "\n"
					 "[ two words ]\n"
					 "provider = plain\n"
					 "max_parallel = 7\n"
					 "[*]\n"
					 "provider=plain\n");
	is_string(told, "", "a good file has no problems");
	if (!ok(accounts && accounts->next && accounts->next->next &&
			!accounts->next->next->next, "three accounts"))
		return;
	is_string(accounts->name, "one", "a section's name");
	ok(accounts->type == &cloud, "a synonym of a provider");
	is_string(pa_account_text(accounts, "key"), "a=b:c#d;e",
			  "a value with all that separates elsewhere");
	is_string(pa_account_text(accounts, "user"), "u", "a colon");
	is_number(pa_account_number(accounts, "port"), 80, "a number");
	is_number(pa_account_number(accounts, "force"), 1, "a flag");
	is_number(pa_account_number(accounts, "wait"), 5000000, "a standard value");
	ok(!pa_account_given(accounts, "wait"), "which was not given");
	ok(pa_account_text(accounts, "from") == NULL, "what is not there");
	is_number(pa_account_line(accounts, "key"), 3, "line of a key");
	is_number(pa_account_line(accounts, "from"), 2, "line of the section");
	is_string(accounts->next->name, "two words", "a name with a blank");
	is_number(pa_account_number(accounts->next, "max_parallel"), 7,
			  "a key that all types have");
	is_string(accounts->next->next->name, PA_ACCOUNT_OTHERS, "the others");
	free_all(accounts);
}

static void
test_long_lines(void)
{
	char		text[16384];
	char		value[4001];
	char		name[256];
	PaAccount  *accounts;

	for (int i = 0; i < 4000; i++)
		value[i] = (char) (i % 50 == 7 ? ' ' : 'a' + i % 26);
	value[4000] = '\0';
	memset(name, 'n', 255);
	name[255] = '\0';
	snprintf(text, sizeof(text),
			 "; %s\n[%s]\nprovider = cloud\nuser=u\nkey = %s ; %s\n", value, name,
			 value, value);
	accounts = parse(text);
	is_string(told, "", "long lines, comments and names");
	if (accounts != NULL)
	{
		is_string(pa_account_text(accounts, "key"), value, "a long value");
		is_string(accounts->name, name, "a name of 255 bytes");
	}
	free_all(accounts);
	snprintf(text, sizeof(text), "[%sx]\nprovider = plain\n", name);
	refused(text, "a.ini:1: a section's name has 1 to 255 bytes\n"
			"a.ini:2: key \"provider\" stands before the first [section]\n",
			"a name of 256 bytes");
}

static void
test_problems(void)
{
	refused("", "a.ini: there is no [section], so no account\n", "an empty file");
	refused("x = 1\n",
			"a.ini:1: key \"x\" stands before the first [section]\n",
			"a key without a section");
	refused("[a]\nprovider = plain\nwhat is this\n  # no\nnor this",
			"a.ini:3: expected a [section] or \"key = value\"\n"
			"a.ini:5: expected a [section] or \"key = value\"\n", "no key");
	refused("[a\nprovider = plain\n",
			"a.ini:1: the section has no \"]\"\n"
			"a.ini:2: key \"provider\" stands before the first [section]\n",
			"half a section");
	refused("[a] b\n[]\n",
			"a.ini:1: nothing but a comment may follow [section]\n"
			"a.ini:2: a section's name has 1 to 255 bytes\n", "bad sections");
	refused("[a]\n\nprovider = plain\n[b]\nprovider = plain\n[a]\nprovider = x\n",
			"a.ini:6: section [a] was there before, at line 1\n",
			"a section twice");
	refused("[a]\nprovider = cloud\nuser = u\nkey = k\nuser = v\n",
			"a.ini:5: key \"user\" was there before, at line 3\n", "a key twice");
	refused("[a]\nuser = u\n", "a.ini:1: section [a] has no key \"provider\"\n",
			"no provider");
	refused("[a]\nprovider = azure\n",
			"a.ini:2: unknown provider \"azure\": valid are cloud, plain\n",
			"an unknown provider");
	refused("[a]\nprovider = left-out\nuri = x\n",
			"a.ini:2: this power_agent was built without the provider \"left-out\": build it in\n",
			"a provider that was not built in");
	refused("[a]\nprovider =\n", "a.ini:2: key \"provider\" has no value\n",
			"an empty provider");
	refused("[a]\nprovider = cloud\nuser = u\n",
			"a.ini:1: section [a] has no key \"key\"\n", "a key is missing");
	refused("[a]\nprovider = cloud\nuser =\nkey = k\n",
			"a.ini:3: key \"user\" has no value\n", "a key is empty");
	refused("[a]\nprovider = plain\nuser = u\nUser = u\n",
			"a.ini:4: unknown key \"User\" for provider \"plain\"\n"
			"a.ini:3: unknown key \"user\" for provider \"plain\"\n",
			"keys of another provider");
	refused("[a]\nprovider = cloud\nuser = u\nkey = k\nport = 0\nwait = 2min\n"
			"force = 2\nfrom = fil\nmax_parallel = x\nsecret_number = 77\n",
			"a.ini:9: invalid value \"x\" of key \"max_parallel\": valid is a number from 1 to 1000000\n"
			"a.ini:5: invalid value \"0\" of key \"port\": valid is a number from 1 to 65535\n"
			"a.ini:10: invalid value \"...\" of key \"secret_number\": valid is a number from 1 to 9\n"
			"a.ini:6: invalid value \"2min\" of key \"wait\": valid is a time from 0 to 60000 ms\n"
			"a.ini:7: invalid value \"2\" of key \"force\": valid are on and off\n"
			"a.ini:8: invalid value \"fil\" of key \"from\": valid are file environment\n",
			"bad values");
	refused("[a]\nprovider = cloud\nuser = u\nkey = k\nport = 5\n",
			"a.ini:5: port needs force\n", "keys against each other");
}

static bool
same(const char *left, const char *right)
{
	PaAccount  *first = parse(left);
	PaAccount  *second = parse(right);
	bool		result = first && second && pa_account_same(first, second);

	free_all(first);
	free_all(second);
	return result;
}

static void
test_same(void)
{
	static const char base[] = "[a]\nprovider=cloud\nuser=u\nkey=k\n";

	ok(same(base, "[b]\nkey=k\n\nuser=u\nprovider=cloud\n"),
	   "the order of the keys does not count");
	ok(!same(base, "[a]\nprovider=cloud\nuser=u\nkey=other\n"), "another value");
	ok(!same(base, "[a]\nprovider=cloud\nuser=u\nkey=k\nfrom=file\n"),
	   "a key more");
	ok(!same("[a]\nprovider=cloud\nuser=u\nkey=k\nfrom=file\n", base),
	   "a key less");
	ok(!same(base, "[a]\nprovider=plain\n"), "another type");
}

/* what reading the file with this mode tells */
static const char *
read_with_mode(const char *path, mode_t mode)
{
	PaReport	report = {.tell = tell, .file = "a.ini"};
	PaAccount  *accounts;

	chmod(path, mode);
	told[0] = '\0';
	accounts = pa_account_file_read(path, types, &report);
	free_all(accounts);
	return told;
}

static void
test_permissions(void)
{
	char		path[] = "/tmp/agent_account_test.XXXXXX";
	int			fd = mkstemp(path);
	static const char text[] = "[a]\nprovider = plain\n";
	PaReport	report = {.tell = tell, .file = "a.ini"};
	bool		root = geteuid() == 0;

	if (fd < 0 || write(fd, text, sizeof(text) - 1) < 0)
	{
		ok(false, "a file could be made");
		return;
	}
	is_string(read_with_mode(path, 0600), "", "0600");
	is_string(read_with_mode(path, 0400), "", "0400");
	is_string(read_with_mode(path, 0640),
			  root ? "" :
			  "a.ini: others may access it (mode 0640): it must have mode 0600 or less, or 0640 or less if root owns it\n",
			  "0640 is for root's");
	is_string(read_with_mode(path, 0604),
			  "a.ini: others may access it (mode 0604): it must have mode 0600 or less, or 0640 or less if root owns it\n",
			  "0604");
	is_string(read_with_mode(path, 0660),
			  "a.ini: others may access it (mode 0660): it must have mode 0600 or less, or 0640 or less if root owns it\n",
			  "0660");
	chmod(path, 0600);
	if (write(fd, "\0x", 2) < 0)
		ok(false, "written");
	is_string(read_with_mode(path, 0600),
			  "a.ini: it is not a text: it contains a NUL byte\n", "NUL");
	close(fd);
	unlink(path);
	told[0] = '\0';
	ok(pa_account_file_read(path, types, &report) == NULL, "no file");
	is_string(told, "a.ini: No such file or directory\n",
			  "is told");
	told[0] = '\0';
	ok(pa_account_file_read("/tmp", types, &report) == NULL, "a directory");
	is_string(told, "a.ini: it is not a regular file\n", "is told");
}

int
main(void)
{
	test_reading();
	test_long_lines();
	test_problems();
	test_same();
	test_permissions();
	return unit_done();
}
