/*
 * The control console (see vmm/console.h).
 *
 * The guest's output goes on while a line is typed; nobody draws the line
 * again.  The terminal is raw, so the echo is ours.
 */
#include "vmm/console.h"

#include <string.h>

#include "vmm/loop.h"

#define KEY(letter) ((letter) & 0x1f)
#define KEY_ESCAPE 0x1b
#define KEY_DELETE 0x7f

enum { ESCAPE_NONE, ESCAPE_SEEN, ESCAPE_SEQUENCE };	/* ESC; ESC [ or ESC O: up to its letter */

static void prompt(const struct console *c)
{
	if (c->active)
		c->print("%s", CONTROL_PROMPT);
}

void console_toggle(struct console *c)
{
	c->active = !c->active;
	c->len = 0;
	c->escape = ESCAPE_NONE;
	if (!c->active) {
		c->print("\n");
		return;
	}
	c->print("\nThe control console: `help' lists its commands, C-a c goes back to the guest.\n");
	if (!c->executing)
		prompt(c);
}

void console_redraw(struct console *c)
{
	if (c->executing || !c->active)
		return;
	c->line[c->len] = 0;
	prompt(c);
	c->print("%s", c->line);
}

/* ---- Commands ---- */

static void show(struct console *c, const json_t *reply)
{
	char err[512];

	if (json_object_get(reply, "return") && c->show && c->show(c->opaque, c->rq.command))
		return;
	if (!control_show(c->rq.command, reply, c->print, err, sizeof err))
		c->print("%s\n", err);
}

static void finish(struct console *c, json_t *reply)
{
	show(c, reply);
	json_decref(reply);
	if (c->rq.command == CONTROL_quit)
		c->active = false;	/* no prompt for the shell to follow */
	control_release(&c->rq);
	c->executing = false;
	prompt(c);
}

static void enter(struct console *c)
{
	char err[256];
	json_t *json, *reply;

	c->print("\n");
	c->line[c->len] = 0;
	c->len = 0;
	json = control_from_words(c->line, err, sizeof err);
	if (!json) {
		if (*err)
			c->print("%s\n", err);
		prompt(c);
		return;
	}
	memcpy(c->last, c->line, sizeof c->last);
	reply = control_parse_json(&c->rq, json);
	c->executing = !reply;
	if (!reply)
		reply = c->execute(c->opaque, &c->rq);
	if (reply)
		finish(c, reply);
}

/* ---- Keys ---- */

static void erase(struct console *c, unsigned n)
{
	for (; n && c->len; n--, c->len--)
		c->print("\b \b");
}

static unsigned last_word(const struct console *c)
{
	unsigned n = c->len;

	while (n && c->line[n - 1] == ' ')
		n--;
	while (n && c->line[n - 1] != ' ')
		n--;
	return c->len - n;
}

static void recall(struct console *c)
{
	erase(c, c->len);
	c->len = (unsigned)strlen(c->last);
	memcpy(c->line, c->last, c->len);
	c->print("%s", c->last);
}

/* Keys that send several bytes: of these only the up arrow means something. */
static bool take_escape(struct console *c, u8 byte)
{
	switch (c->escape) {
	case ESCAPE_NONE:
		c->escape = byte == KEY_ESCAPE ? ESCAPE_SEEN : ESCAPE_NONE;
		return byte == KEY_ESCAPE;
	case ESCAPE_SEEN:
		c->escape = byte == '[' || byte == 'O' ? ESCAPE_SEQUENCE : ESCAPE_NONE;
		return true;
	default:
		if (byte >= '@' && byte <= '~') {
			c->escape = ESCAPE_NONE;
			if (byte == 'A')
				recall(c);
		}
		return true;
	}
}

static void edit(struct console *c, u8 byte)
{
	if (take_escape(c, byte))
		return;
	switch (byte) {
	case '\r':
	case '\n':
		enter(c);
		break;
	case '\b':
	case KEY_DELETE:
		erase(c, 1);
		break;
	case KEY('U'):
		erase(c, c->len);
		break;
	case KEY('W'):
		erase(c, last_word(c));
		break;
	case KEY('C'):
		c->len = 0;
		c->print("^C\n");
		prompt(c);
		break;
	case KEY('P'):
		recall(c);
		break;
	default:
		if (byte < ' ' || byte > '~')
			break;
		if (c->len == CONSOLE_LINE_MAX) {
			c->print("\a");
			break;
		}
		c->line[c->len++] = (char)byte;
		c->print("%c", byte);
		break;
	}
}

void console_key(struct console *c, u8 byte)
{
	if (!c->executing)
		edit(c, byte);
	else if (c->ahead_len < sizeof c->ahead)
		c->ahead[c->ahead_len++] = (char)byte;
}

void console_tick(struct console *c)
{
	unsigned n = 0;
	json_t *reply;

	if (!c->executing)
		return;
	reply = c->execute(c->opaque, &c->rq);
	if (!reply)
		return;
	finish(c, reply);
	while (n < c->ahead_len && !c->executing)
		edit(c, (u8)c->ahead[n++]);
	memmove(c->ahead, c->ahead + n, c->ahead_len - n);
	c->ahead_len -= n;
}

u64 console_deadline(const struct console *c)
{
	return c->executing ? c->rq.again_at : LOOP_FOREVER;
}

void console_close(struct console *c)
{
	if (c->active)
		c->print("\n");
	c->active = c->executing = false;
	control_release(&c->rq);
}
