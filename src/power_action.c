/*-------------------------------------------------------------------------
 *
 * src/power_action.c
 *		Loading of the library, nothing else.
 *
 * Preloaded, it brings its shared memory, its launcher and its hooks.  Loaded
 * by a single session it brings only its settings and functions; those that
 * need more ask pa_shared_available() and say what is missing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "database_hooks.h"
#include "fmgr.h"
#include "launcher.h"
#include "miscadmin.h"
#include "settings.h"
#include "shared_state.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	pa_settings_define();

	if (!process_shared_preload_libraries_in_progress)
		return;

	pa_shared_install();
	pa_database_hooks_install();
	pa_launcher_register();
}
