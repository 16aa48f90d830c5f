#ifndef HIKYAKU_CSQLITE_SHIM_H
#define HIKYAKU_CSQLITE_SHIM_H

/* Swift cannot call variadic functions. All else of SQLite comes with GRDB; this declares the one function of sqlite3.h
   that is needed here, since two modules that hold the whole header would make its names ambiguous. */

int sqlite3_config(int option, ...);

enum {
    HIKYAKU_SQLITE_CONFIG_MEMSTATUS = 9
};

/* Has SQLite keep no count of the memory it uses, for which it takes a lock at each allocation.
   Refused with SQLITE_MISUSE once the process has used SQLite; must not run beside a first use of it. */
static inline int hikyaku_sqlite_count_no_memory(void) {
    return sqlite3_config(HIKYAKU_SQLITE_CONFIG_MEMSTATUS, 0);
}

#endif
