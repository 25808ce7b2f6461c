/* SoftHSM with a fault: what a reader, a card or its software does wrong, on demand of FAULT in the environment.
 * The functions of PKCS #11 2.40 are in one table, in the order of its header, after a version that takes the room of a
 * pointer. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long word;

enum { GET_FUNCTION_LIST = 3, GET_TOKEN_INFO = 6, LOGIN = 18, GET_ATTRIBUTE_VALUE = 24, FUNCTIONS = 68 };
enum { OK = 0x00, FUNCTION_FAILED = 0x06, DEVICE_ERROR = 0x30 };
/* CKA_EXTRACTABLE. */
enum { EXTRACTABLE = 0x162 };

struct table { word version; void *functions[FUNCTIONS]; };
struct attribute { word type; void *value; word length; };

static struct table *good, faulty;

static int is(const char *fault) {
    const char *asked = getenv("FAULT");
    return asked && !strcmp(asked, fault);
}

/* The card "clinic" cannot be read. */
static word token_info(word slot, void *info) {
    word result = ((word (*)(word, void *))good->functions[GET_TOKEN_INFO])(slot, info);
    return is("unreadable") && result == OK && !memcmp(info, "clinic", 6) ? DEVICE_ERROR : result;
}

/* A reader refuses in words of its own, and may have counted the PIN. */
static word login(word session, word user, void *pin, word length) {
    if (is("login")) return FUNCTION_FAILED;
    return ((word (*)(word, word, void *, word))good->functions[LOGIN])(session, user, pin, length);
}

/* A token makes its keys so that they can be read out of it, whatever is asked for. */
static word attribute_value(word session, word object, struct attribute *them, word count) {
    word (*get)(word, word, struct attribute *, word) = good->functions[GET_ATTRIBUTE_VALUE];
    word result = get(session, object, them, count);
    for (word at = 0; at < count && is("shown"); at++)
        if (them[at].type == EXTRACTABLE && them[at].value) *(unsigned char *)them[at].value = 1;
    return result;
}

word C_GetFunctionList(struct table **list) {
    void *module = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW);
    word (*get)(struct table **) = module ? dlsym(module, "C_GetFunctionList") : 0;
    if (!get || get(&good) != OK) return FUNCTION_FAILED;
    faulty = *good;
    faulty.functions[GET_FUNCTION_LIST] = C_GetFunctionList;
    faulty.functions[GET_TOKEN_INFO] = token_info;
    faulty.functions[LOGIN] = login;
    faulty.functions[GET_ATTRIBUTE_VALUE] = attribute_value;
    *list = &faulty;
    return OK;
}
