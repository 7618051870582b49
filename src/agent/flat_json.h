/*-------------------------------------------------------------------------
 *
 * src/agent/flat_json.h
 *		Strings out of one JSON object, as short answers of services are.
 *
 * Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_FLAT_JSON_H
#define PA_AGENT_FLAT_JSON_H

/*
 * The string value of a member, to be freed with pa_secret_free.  NULL if
 * there is none, or it is no string, or the text before it is not an object
 * of strings, numbers and words: nothing nested.  Escapes beyond ASCII are
 * not taken.
 */
extern char *pa_flat_json_string(const char *text, const char *name);

#endif							/* PA_AGENT_FLAT_JSON_H */
