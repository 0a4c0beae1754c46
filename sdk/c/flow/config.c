// The configuration: one JSON object of texts, numbers and booleans. Nothing deeper; a plugin that needs more reads
// `setup->config` with a parser of its own.
#include "flow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *at, *end;
} reader;

static void blanks(reader *in) {
    while (in->at < in->end && strchr(" \t\r\n", *in->at)) in->at++;
}

static bool next_is(reader *in, char wanted) {
    blanks(in);
    if (in->at == in->end || *in->at != wanted) return false;
    in->at++;
    return true;
}

static int hex(reader *in) {
    int code = 0;
    for (int i = 0; i < 4; i++, in->at++) {
        if (in->at == in->end) return -1;
        const char *digits = "0123456789abcdef", *found = strchr(digits, *in->at | 0x20);
        if (!found || !*found) return -1;
        code = code * 16 + (int)(found - digits);
    }
    return code;
}

static size_t utf8(char *to, unsigned code) {
    if (code < 0x80) return to[0] = (char)code, 1;
    if (code < 0x800) return to[0] = (char)(0xC0 | code >> 6), to[1] = (char)(0x80 | (code & 63)), 2;
    if (code < 0x10000)
        return to[0] = (char)(0xE0 | code >> 12), to[1] = (char)(0x80 | (code >> 6 & 63)), to[2] = (char)(0x80 | (code & 63)), 3;
    to[0] = (char)(0xF0 | code >> 18), to[1] = (char)(0x80 | (code >> 12 & 63));
    return to[2] = (char)(0x80 | (code >> 6 & 63)), to[3] = (char)(0x80 | (code & 63)), 4;
}

// Behind a backslash and a `u`. A pair of surrogates is one character; half of one is none.
static bool unicode(reader *in, char *to, size_t *len) {
    int code = hex(in);
    if (code >= 0xD800 && code < 0xDC00) {
        if (in->end - in->at < 6 || in->at[0] != '\\' || in->at[1] != 'u') return false;
        in->at += 2;
        int low = hex(in);
        if (low < 0xDC00 || low > 0xDFFF) return false;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code < 0 || (code >= 0xDC00 && code < 0xE000)) {
        return false;
    }
    *len += utf8(to + *len, (unsigned)code);
    return true;
}

static bool text(reader *in, flow_bytes *found) {
    if (!next_is(in, '"')) return false;
    // No escape is shorter than what it stands for.
    char *to = flow_alloc((size_t)(in->end - in->at) + 1);
    size_t len = 0;
    while (in->at < in->end && *in->at != '"') {
        char letter = *in->at++;
        if ((unsigned char)letter < 0x20) return false;
        if (letter != '\\') {
            to[len++] = letter;
            continue;
        }
        if (in->at == in->end) return false;
        letter = *in->at++;
        static const char ESCAPES[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";
        const char *escape = strchr(ESCAPES, letter);
        if (letter == 'u') {
            if (!unicode(in, to, &len)) return false;
        } else if (letter && escape) {
            to[len++] = MEANT[escape - ESCAPES];
        } else {
            return false;
        }
    }
    *found = (flow_bytes){to, len};
    return next_is(in, '"');
}

// A word that is no text: a number, `true`, `false`, `null`.
static flow_bytes word(reader *in) {
    blanks(in);
    const char *from = in->at;
    while (in->at < in->end && !strchr(" \t\r\n,:{}[]\"", *in->at)) in->at++;
    return flow_format("%.*s", (int)(in->at - from), from);
}

static bool number(flow_bytes found, double *value) {
    char *behind;
    // Of what strtod takes, JSON has no `inf`, `nan`, `0x` and `+`.
    if (!found.len || !strchr("-0123456789", *found.ptr) || strpbrk(found.ptr, "xXnNpP")) return false;
    *value = strtod(found.ptr, &behind);
    return !*behind && isfinite(*value);
}

static bool integer(flow_bytes found, int64_t *value) {
    double number_of;
    // Exact up to 2^53, as everywhere in JSON.
    if (!number(found, &number_of) || number_of != floor(number_of) || fabs(number_of) > 9007199254740992.0) return false;
    *value = (int64_t)number_of;
    return true;
}

static const char *KINDS[] = {"a text", "a whole number", "a number", "true or false"};

static bool value(reader *in, const flow_option *option, flow_error *error) {
    blanks(in);
    if (in->at < in->end && *in->at == '"') {
        flow_bytes found;
        if (!text(in, &found)) return flow_fatal(error, "config: no JSON: in the text of %s", option->name);
        if (option->kind != FLOW_TEXT) return flow_fatal(error, "%s: must be %s", option->name, KINDS[option->kind]);
        if (found.len >= option->size || memchr(found.ptr, 0, found.len))
            return flow_fatal(error, "%s: must be at most %zu bytes long, without NUL", option->name, option->size - 1);
        memcpy(option->to, found.ptr, found.len);
        ((char *)option->to)[found.len] = 0;
        return true;
    }
    flow_bytes found = word(in);
    bool fits = false;
    switch (option->kind) {
    case FLOW_INTEGER: fits = integer(found, option->to); break;
    case FLOW_NUMBER: fits = number(found, option->to); break;
    case FLOW_BOOLEAN:
        fits = flow_is(found, "true") || flow_is(found, "false");
        if (fits) *(bool *)option->to = flow_is(found, "true");
        break;
    case FLOW_TEXT: break;
    }
    return fits || flow_fatal(error, "%s: must be %s", option->name, KINDS[option->kind]);
}

bool flow_configure(const flow_setup *setup, const flow_option *options, size_t count, flow_error *error) {
    reader in = {(const char *)setup->config.ptr, (const char *)setup->config.ptr + setup->config.len};
    bool *said = flow_alloc(count + 1);
    blanks(&in);
    bool nothing = in.at == in.end;
    if (!nothing && !next_is(&in, '{')) return flow_fatal(error, "config: must be an object");
    bool last = nothing || next_is(&in, '}');
    while (!last) {
        flow_bytes name;
        if (!text(&in, &name) || !next_is(&in, ':')) return flow_fatal(error, "config: no JSON: a name is missing");
        size_t i = 0;
        while (i < count && !flow_is(name, options[i].name)) i++;
        if (i == count) return flow_fatal(error, "%.*s: unknown field", (int)name.len, name.ptr);
        if (!value(&in, &options[i], error)) return false;
        said[i] = true;
        last = next_is(&in, '}');
        if (!last && !next_is(&in, ',')) return flow_fatal(error, "config: no JSON: behind %s", options[i].name);
    }
    blanks(&in);
    if (in.at != in.end) return flow_fatal(error, "config: no JSON: something is behind the object");
    for (size_t i = 0; i < count; i++)
        if (options[i].required && !said[i]) return flow_fatal(error, "%s: is missing", options[i].name);
    return true;
}
