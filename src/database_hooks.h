/*-------------------------------------------------------------------------
 *
 * src/database_hooks.h
 *		Statements that concern the workers: about the extension, and about
 *		whole databases.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_DATABASE_HOOKS_H
#define PA_DATABASE_HOOKS_H

/* from _PG_init, only while preloading */
extern void pa_database_hooks_install(void);

#endif							/* PA_DATABASE_HOOKS_H */
