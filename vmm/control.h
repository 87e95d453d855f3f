/*
 * The control protocol: what a request and a reply look like, as JSON and as
 * words for people.  QMP's form without its greeting, one object a line:
 *
 *   {"execute": "mode", "arguments": {"engine": "hw"}, "id": 7}
 *   {"return": {"engine": "hw", ...}, "id": 7}
 *   {"error": {"class": "GenericError", "desc": "one line"}, "id": 7}
 *
 * Knows no sockets and no machine.  The server (vmm/control_server.h), the
 * control console (vmm/console.h) and the client (vmm/ctl.h) stand on it;
 * vmm/commands.h does what a request asks for.
 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include <jansson.h>
#include "base/types.h"

#define CONTROL_LINE_MAX 65536u		/* a request, with its newline */
#define CONTROL_PROMPT "(ringer) "

enum control_command {
#define CONTROL(name, argument, values, help) CONTROL_##name,
#include "vmm/control.def"
#undef CONTROL
	CONTROL_COMMANDS
};

struct control_row { const char *name, *argument, *values, *help; };
extern const struct control_row control_table[CONTROL_COMMANDS];

/* A request being served.  Zeros: none. */
struct control_request {
	json_t *json;			/* as it came */
	enum control_command command;
	const char *argument;		/* in json; NULL for a command without */

	/* Of who executes it, when that takes more than one try. */
	bool tried;
	u32 ticket;
	u64 again_at, give_up_at;	/* monotonic ns: again then at the latest; and until when */
};

/*
 * Executes: the reply (the caller's to release), or NULL: not yet, ask again.
 * A request that is never asked for again needs no cancelling.
 */
typedef json_t *control_execute(void *opaque, struct control_request *rq);

/* Take a line of untrusted bytes (without its newline), or an object (stolen).  NULL, or the error reply. */
json_t *control_parse(struct control_request *rq, const char *line, size_t n);
json_t *control_parse_json(struct control_request *rq, json_t *json);
void control_release(struct control_request *rq);

/* Replies; value is stolen.  NULL: out of memory. */
json_t *control_return(const struct control_request *rq, json_t *value);
json_t *control_error(const struct control_request *rq, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "mode hw" -> a request.  NULL with one line in err, or, for an empty line, nothing. */
json_t *control_from_words(const char *line, char *err, size_t errlen);

/* What a reply says, for people: true, the value, a line or more through `print`; false, the reason into err. */
bool control_show(enum control_command command, const json_t *reply, void (*print)(const char *fmt, ...),
		  char *err, size_t errlen);

#endif
