#ifndef HIKYAKU_CCURL_SHIM_H
#define HIKYAKU_CCURL_SHIM_H
#include <curl/curl.h>
#endif
