#ifndef HIKYAKU_CCURL_SHIM_H
#define HIKYAKU_CCURL_SHIM_H

/* Swift cannot call variadic functions: each shape of curl_easy_setopt and curl_easy_getinfo gets a function here. */

#include <curl/curl.h>

typedef size_t (*hikyaku_curl_transfer)(char *bytes, size_t size, size_t count, void *context);
typedef int (*hikyaku_curl_seek)(void *context, curl_off_t offset, int origin);

static inline CURLcode hikyaku_curl_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode hikyaku_curl_set_offset(CURL *handle, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode hikyaku_curl_set_text(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode hikyaku_curl_set_pointer(CURL *handle, CURLoption option, void *value) {
    return curl_easy_setopt(handle, option, value);
}

/* HTTPS alone, or HTTP too. The names came with libcurl 7.85, before which only a mask was taken; Ubuntu 22.04 has 7.81. */
static inline CURLcode hikyaku_curl_set_protocols(CURL *handle, int clear_text) {
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, clear_text ? "http,https" : "https");
#else
    return curl_easy_setopt(handle, CURLOPT_PROTOCOLS, (long)(clear_text ? CURLPROTO_HTTP | CURLPROTO_HTTPS : CURLPROTO_HTTPS));
#endif
}

static inline CURLcode hikyaku_curl_set_list(CURL *handle, CURLoption option, struct curl_slist *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode hikyaku_curl_set_transfer(CURL *handle, CURLoption option, hikyaku_curl_transfer value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode hikyaku_curl_set_seek(CURL *handle, hikyaku_curl_seek value) {
    return curl_easy_setopt(handle, CURLOPT_SEEKFUNCTION, value);
}

static inline CURLcode hikyaku_curl_get_long(CURL *handle, CURLINFO info, long *value) {
    return curl_easy_getinfo(handle, info, value);
}

static inline CURLcode hikyaku_curl_get_offset(CURL *handle, CURLINFO info, curl_off_t *value) {
    return curl_easy_getinfo(handle, info, value);
}

static inline CURLcode hikyaku_curl_get_text(CURL *handle, CURLINFO info, char **value) {
    return curl_easy_getinfo(handle, info, value);
}

static inline CURLMcode hikyaku_curl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

/* The message is a union; only its result is of use. */
static inline CURLcode hikyaku_curl_result(const CURLMsg *message) {
    return message->data.result;
}

#endif
