/*-------------------------------------------------------------------------
 *
 * test/fuzz/target_fuzz.c
 *		The option "target" of a foreign server: what is accepted has a
 *		scheme that gRPC knows and is accepted again in its normal form; what
 *		is refused comes with a hint.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"
#include "target.h"

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* the port at the end of each address */
static void
check_port(const char *text)
{
	const char *colon = strrchr(text, ':');
	long		port;

	must(colon != NULL && colon[1] != '\0');
	must(strspn(colon + 1, "0123456789") == strlen(colon + 1));
	port = strtol(colon + 1, NULL, 10);
	must(port >= 1 && port <= 65535);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	const char *hint = NULL;
	PaTarget	target;
	PaTarget	again;
	char	   *normal;

	if (!pa_target_parse(text, &target, &hint))
	{
		must(hint != NULL && hint[0] != '\0');
		free(text);
		return 0;
	}

	/* the rest is the end of the text */
	must(target.rest >= text && target.rest <= text + strlen(text));
	normal = malloc(strlen(target.prefix) + strlen(target.rest) + 1);
	strcpy(normal, target.prefix);
	strcat(normal, target.rest);

	must(starts_with(normal, "unix:/") || starts_with(normal, "dns:") ||
		 starts_with(normal, "ipv4:") || starts_with(normal, "ipv6:["));
	if (starts_with(normal, "unix:"))
		must(strlen(normal) > strlen("unix:/") &&
			 strlen(normal + strlen("unix:")) <= 107);
	else
		check_port(normal);

	/* nothing that gRPC or a log would take for something else */
	for (const char *p = normal; !starts_with(normal, "unix:") && *p; p++)
		must(*p > 0x20 && *p < 0x7F);

	must(pa_target_parse(normal, &again, &hint));
	must(again.prefix[0] == '\0' || starts_with(normal, again.prefix));
	must(strcmp(again.rest, normal + strlen(again.prefix)) == 0);
	free(normal);
	free(text);
	return 0;
}
