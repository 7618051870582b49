/*-------------------------------------------------------------------------
 *
 * src/file_rule.c
 *		Which files may be read for an option.  See file_rule.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "file_rule.h"

bool
pa_file_rule_check(const struct stat *status, bool secret, uid_t user,
				   char *problem, size_t size)
{
	mode_t		forbidden = status->st_uid == 0 ?
		S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;

	if (!S_ISREG(status->st_mode))
		snprintf(problem, size, "it is not a regular file");
	else if (secret && status->st_uid != user && status->st_uid != 0)
		snprintf(problem, size,
				 "it belongs to another user (user id %u): it must be owned by the user who reads it (user id %u) or by root",
				 (unsigned int) status->st_uid, (unsigned int) user);
	else if (secret && (status->st_mode & forbidden) != 0)
		snprintf(problem, size,
				 "others may access it (mode %04o): it must have mode 0600 or less, or 0640 or less if root owns it",
				 (unsigned int) (status->st_mode & 07777));
	else
		return true;
	return false;
}
