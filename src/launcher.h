/*-------------------------------------------------------------------------
 *
 * src/launcher.h
 *		The process that keeps a worker in every database that has the
 *		extension.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_LAUNCHER_H
#define PA_LAUNCHER_H

/* from _PG_init, only while preloading */
extern void pa_launcher_register(void);

extern PGDLLEXPORT void pa_launcher_main(Datum argument);

#endif							/* PA_LAUNCHER_H */
