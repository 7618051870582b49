/*-------------------------------------------------------------------------
 *
 * src/agent/account_file.h
 *		The accounts file: which provider powers the instances of an account,
 *		and with which keys.
 *
 * An INI file (ini_file.h) with a section for each account; [*] is for all
 * accounts that have none.  Its keys are those of its provider's type, and
 * these of every one:
 *
 *	provider		name of the type (required)
 *	max_parallel	requests that are under way at a time, others wait
 *
 * Sections and keys that appear twice, unknown and missing keys, and values
 * that are not valid are problems, told with file and line.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_ACCOUNT_FILE_H
#define PA_AGENT_ACCOUNT_FILE_H

#include "account.h"
#include "provider_type.h"
#include "report.h"

/*
 * Reads a file, which must be a secret (program/file.h).  Returns the
 * accounts in a list, to be freed one by one.  If anything was reported the
 * result is NULL; it is NULL, too, for a file without accounts.
 */
extern PaAccount *pa_account_file_read(const char *path,
									   const PaProviderType *const *types,
									   PaReport *report);

/* the same with its text */
extern PaAccount *pa_account_file_parse(const char *text,
										const PaProviderType *const *types,
										PaReport *report);

#endif							/* PA_AGENT_ACCOUNT_FILE_H */
