// GNU libidn2: IDNA 2008 with the mapping of UTS 46, which curl uses, too.
// What we use of idn2.h (its ABI has stood since 2.0): the header itself drags in system headers that Swift then takes
// for parts of this module.

enum {
    HIKYAKU_IDN2_OK = 0,
    HIKYAKU_IDN2_NFC_INPUT = 1,
    HIKYAKU_IDN2_NONTRANSITIONAL = 8
};

int idn2_lookup_u8(const unsigned char *src, unsigned char **lookupname, int flags);
void idn2_free(void *ptr);
