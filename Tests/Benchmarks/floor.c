/* What a relay costs at the least: it talks SMTP on both sides and writes the rows of the store, and does nothing else.
 *
 * One thread for all sockets, one that commits whatever came while the last commit ran, as the gateway does; the same
 * statements on the same tables. No limits, no TLS, no other next hop, no names, no log, and no error that it survives: what
 * this program cannot reach on a machine, a gateway that keeps its queue in SQLite cannot reach there either.
 *
 * usage: floor PORT NEXT-HOP-PORT DATABASE          built and run by floor.peer
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS = 8192, DELIVERIES = 20, LINE = 8192, ADDRESS = 128 };

enum stage { COMMAND, CONTENT, COMMITTING, GREETED, INTRODUCED, IDLE, ENVELOPE, SENT };

/* A message on its way: to the thread that commits, to a delivery, and back to be recorded. */
struct message {
    struct message *next;
    char *octets;
    size_t size;
    int client;
    int is_delivered;
    sqlite3_int64 id;
    char from[ADDRESS], to[ADDRESS];
};

struct connection {
    int descriptor;
    enum stage stage;
    char line[LINE];
    size_t filled;
    char *content;
    size_t size, room, scanned;
    char from[ADDRESS], to[ADDRESS];
    struct message *message; /* that is being delivered */
    int replies;
};

struct list {
    struct message *first, **end;
};

static struct connection *connections[DESCRIPTORS];
static struct connection *idle[DELIVERIES];
static int idle_count, delivery_count, next_hop, poll_descriptor, bell;
static struct list waiting = {0, &waiting.first};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_came = PTHREAD_COND_INITIALIZER;
static struct list to_commit = {0, &to_commit.first}, committed = {0, &committed.first};

static void give_up(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void append(struct list *list, struct message *message) {
    message->next = NULL;
    *list->end = message;
    list->end = &message->next;
}

static struct message *take_all(struct list *list) {
    struct message *all = list->first;
    list->first = NULL;
    list->end = &list->first;
    return all;
}

/* ---- The store */

static sqlite3 *database;

static const char schema[] =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = FAST; PRAGMA cache_size = -32000;"
    "CREATE TABLE messages (id INTEGER PRIMARY KEY, reverse_local_part, reverse_domain, body, return_content, envelope_id,"
    " flags, message_id, subject, size, listener, client_address, client_name, user, arrived_at, expires_at, finished_at);"
    "CREATE INDEX messages_by_message_id ON messages(message_id);"
    "CREATE INDEX messages_finished ON messages(finished_at) WHERE finished_at IS NOT NULL;"
    "CREATE TABLE contents (message INTEGER PRIMARY KEY, content BLOB NOT NULL);"
    "CREATE TABLE recipients (message, number, local_part, domain, notify, original_recipient, state, lease, due_at,"
    " attempts, rounds, resume_at, deferred_since, ambiguous_at, interrupted_at, provider, last_failure, finished_at,"
    " PRIMARY KEY (message, number)) WITHOUT ROWID;"
    "CREATE INDEX recipients_due ON recipients(lease, due_at) WHERE state <= 2;"
    "CREATE INDEX recipients_by_address ON recipients(domain COLLATE NOCASE, local_part COLLATE NOCASE);"
    "CREATE TABLE attempts (message, id, provider, recipients, epoch, open, started_at, finished_at, outcomes, evidence,"
    " provider_message_id, move, PRIMARY KEY (message, id)) WITHOUT ROWID;";

static const char outcomes[] = "[{\"recipient\":0,\"delivered\":true,\"text\":\"250 2.0.0 Ok\",\"status\":\"2.0.0\"}]";
static const char evidence[] =
    "{\"remoteHost\":\"127.0.0.1\",\"remoteAddress\":\"127.0.0.1:2525\",\"reusedConnection\":true,\"abandonedHosts\":[],"
    "\"timings\":[{\"stage\":\"mail\",\"milliseconds\":0},{\"stage\":\"rcpt\",\"milliseconds\":0},"
    "{\"stage\":\"data\",\"milliseconds\":0},{\"stage\":\"commit\",\"milliseconds\":0}],\"headerRewritten\":false}";

static sqlite3_stmt *prepared(const char *sql) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        give_up(sqlite3_errmsg(database));
    return statement;
}

static void run(sqlite3_stmt *statement) {
    if (sqlite3_step(statement) != SQLITE_DONE)
        give_up(sqlite3_errmsg(database));
    sqlite3_reset(statement);
}

static void text(sqlite3_stmt *statement, int column, const char *value) {
    sqlite3_bind_text(statement, column, value, -1, SQLITE_STATIC);
}

/* Commits batch after batch, each with one flush; tells the thread of the sockets what is accepted now. */
static void *commit_for_ever(void *path) {
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &database, flags, NULL) != SQLITE_OK || sqlite3_exec(database, schema, NULL, NULL, NULL) != SQLITE_OK)
        give_up(sqlite3_errmsg(database));
    sqlite3_wal_autocheckpoint(database, 4096);
    sqlite3_stmt *begin = prepared("BEGIN IMMEDIATE"), *commit = prepared("COMMIT");
    sqlite3_stmt *message_row = prepared("INSERT INTO messages VALUES (?1, 'a', 'bench.test', NULL, NULL, NULL, 0, ?2, '', ?3,"
                                         " 'smtp', '127.0.0.1', 'localhost', NULL, ?4, ?4, NULL)");
    sqlite3_stmt *content_row = prepared("INSERT INTO contents VALUES (?, ?)");
    sqlite3_stmt *recipient_row = prepared("INSERT INTO recipients (message, number, local_part, domain, state, lease, due_at,"
                                           " attempts, rounds) VALUES (?, 0, 'b', 'bench.test', 0, 1, ?, 0, 0)");
    sqlite3_stmt *attempt_row = prepared("INSERT OR IGNORE INTO attempts (message, id, provider, recipients, epoch, open,"
                                         " started_at, move) VALUES (?, 1, 'sink', '0', 1, 1, ?, '')");
    sqlite3_stmt *attempt_end = prepared("UPDATE attempts SET open = 0, finished_at = ?2, outcomes = ?3, evidence = ?4"
                                         " WHERE message = ?1 AND id = 1");
    sqlite3_stmt *recipient_end = prepared("UPDATE recipients SET state = 3, lease = 0, due_at = NULL, provider = 'sink',"
                                           " finished_at = ?2, attempts = 1 WHERE message = ?1 AND number = 0 AND state <= 6");
    sqlite3_stmt *message_end = prepared("UPDATE messages SET finished_at = ?2 WHERE id = ?1 AND finished_at IS NULL AND NOT"
                                         " EXISTS (SELECT 1 FROM recipients WHERE message = ?1 AND state <= 2)");
    sqlite3_stmt *content_end = prepared("DELETE FROM contents WHERE message = ?");
    sqlite3_stmt *of_new[] = {message_row, content_row, recipient_row, attempt_row};
    sqlite3_stmt *of_delivered[] = {attempt_end, recipient_end, message_end, content_end};
    text(attempt_end, 3, outcomes);
    text(attempt_end, 4, evidence);
    sqlite3_int64 last = 0;
    for (;;) {
        pthread_mutex_lock(&lock);
        while (to_commit.first == NULL)
            pthread_cond_wait(&work_came, &lock);
        struct message *batch = take_all(&to_commit);
        pthread_mutex_unlock(&lock);
        struct timespec clock;
        clock_gettime(CLOCK_REALTIME, &clock);
        sqlite3_int64 now = clock.tv_sec * 1000000LL + clock.tv_nsec / 1000;
        run(begin);
        for (struct message *message = batch; message != NULL; message = message->next) {
            if (!message->is_delivered)
                message->id = ++last;
            sqlite3_stmt **statements = message->is_delivered ? of_delivered : of_new;
            char message_id[64];
            snprintf(message_id, sizeof message_id, "<%llx@bench.test>", message->id * 2654435761ULL);
            for (int index = 0; index < 4; index++)
                sqlite3_bind_int64(statements[index], 1, message->id);
            if (message->is_delivered) {
                for (int index = 0; index < 3; index++)
                    sqlite3_bind_int64(statements[index], 2, now);
            } else {
                text(message_row, 2, message_id);
                sqlite3_bind_int64(message_row, 3, (sqlite3_int64)message->size);
                sqlite3_bind_int64(message_row, 4, now);
                sqlite3_bind_blob64(content_row, 2, message->octets, message->size, SQLITE_STATIC);
                sqlite3_bind_int64(recipient_row, 2, now);
                sqlite3_bind_int64(attempt_row, 2, now);
            }
            for (int index = 0; index < 4; index++)
                run(statements[index]);
        }
        run(commit);
        pthread_mutex_lock(&lock);
        while (batch != NULL) {
            struct message *message = batch;
            batch = batch->next;
            if (message->is_delivered) {
                free(message->octets);
                free(message);
            } else {
                append(&committed, message);
            }
        }
        pthread_mutex_unlock(&lock);
        eventfd_write(bell, 1);
    }
    return NULL;
}

static void hand_to_commit(struct message *message) {
    pthread_mutex_lock(&lock);
    int was_empty = to_commit.first == NULL;
    append(&to_commit, message);
    pthread_mutex_unlock(&lock);
    if (was_empty)
        pthread_cond_signal(&work_came);
}

/* ---- Connections */

static struct connection *opened(int descriptor, enum stage stage) {
    if (descriptor < 0 || descriptor >= DESCRIPTORS)
        give_up("a connection");
    struct connection *connection = calloc(1, sizeof *connection);
    connection->descriptor = descriptor;
    connection->stage = stage;
    connections[descriptor] = connection;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, descriptor, &event);
    return connection;
}

static void closed(struct connection *connection) {
    connections[connection->descriptor] = NULL;
    close(connection->descriptor);
    free(connection->content);
    free(connection);
}

/* What the kernel has no room for is tried again at once; on loopback that is next to never. */
static void say(struct connection *connection, const char *octets, size_t count) {
    while (count > 0) {
        ssize_t written = write(connection->descriptor, octets, count);
        if (written < 0 && errno != EAGAIN && errno != EINTR)
            return;
        if (written > 0) {
            octets += written;
            count -= (size_t)written;
        }
    }
}

static void say_line(struct connection *connection, const char *line) { say(connection, line, strlen(line)); }

/* ---- To the next hop: the envelope in one write, content and final dot in one */

static void deliver_over(struct connection *connection, struct message *message) {
    char envelope[3 * ADDRESS];
    int count = snprintf(envelope, sizeof envelope, "MAIL FROM:%s\r\nRCPT TO:%s\r\nDATA\r\n", message->from, message->to);
    connection->message = message;
    connection->stage = ENVELOPE;
    connection->replies = 0;
    say(connection, envelope, (size_t)count);
}

static void deliver(struct message *message) {
    if (idle_count > 0) {
        deliver_over(idle[--idle_count], message);
        return;
    }
    append(&waiting, message);
    if (delivery_count < DELIVERIES) {
        delivery_count++;
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons((uint16_t)next_hop), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int descriptor = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0)
            give_up("the next hop");
        fcntl(descriptor, F_SETFL, O_NONBLOCK);
        opened(descriptor, GREETED);
    }
}

static void deliver_next_over(struct connection *connection) {
    struct message *message = waiting.first;
    if (message == NULL) {
        connection->stage = IDLE;
        idle[idle_count++] = connection;
        return;
    }
    waiting.first = message->next;
    if (waiting.first == NULL)
        waiting.end = &waiting.first;
    deliver_over(connection, message);
}

static void hear_next_hop(struct connection *connection) {
    ssize_t count = read(connection->descriptor, connection->line, LINE);
    if (count <= 0)
        give_up("the next hop closed");
    for (ssize_t index = 0; index < count; index++)
        connection->replies += connection->line[index] == '\n';
    switch (connection->stage) {
    case GREETED:
        connection->stage = INTRODUCED;
        say_line(connection, "HELO floor\r\n");
        break;
    case INTRODUCED:
        deliver_next_over(connection);
        break;
    case ENVELOPE:
        if (connection->replies >= 3) {
            connection->stage = SENT;
            say(connection, connection->message->octets, connection->message->size);
        }
        break;
    case SENT:
        connection->message->is_delivered = 1;
        hand_to_commit(connection->message);
        deliver_next_over(connection);
        break;
    default:
        give_up("the next hop spoke unasked");
    }
}

/* ---- From clients */

static void keep_path(char *path, const char *line) {
    const char *start = strchr(line, '<'), *end = start == NULL ? NULL : strchr(start, '>');
    if (end == NULL || end - start >= ADDRESS - 1)
        give_up("a path");
    memcpy(path, start, (size_t)(end - start) + 1);
    path[end - start + 1] = 0;
}

/* A command and its reply; false when the client is gone. */
static int obey(struct connection *connection, const char *line) {
    switch (line[0] & ~0x20) {
    case 'M':
        keep_path(connection->from, line);
        say_line(connection, "250 2.1.0 Ok\r\n");
        return 1;
    case 'R':
        keep_path(connection->to, line);
        say_line(connection, "250 2.1.5 Ok\r\n");
        return 1;
    case 'D':
        connection->stage = CONTENT;
        connection->scanned = 0;
        say_line(connection, "354 End data with <CR><LF>.<CR><LF>\r\n");
        return 1;
    case 'Q':
        say_line(connection, "221 2.0.0 Bye\r\n");
        closed(connection);
        return 0;
    default:
        say_line(connection, "250 floor\r\n");
        return 1;
    }
}

static void hear_content(struct connection *connection) {
    if (connection->room - connection->size < 65536)
        connection->content = realloc(connection->content, connection->room = connection->size + 131072);
    ssize_t count = read(connection->descriptor, connection->content + connection->size, connection->room - connection->size);
    if (count <= 0) {
        closed(connection);
        return;
    }
    connection->size += (size_t)count;
    size_t behind = connection->scanned;
    char *end = memmem(connection->content + behind, connection->size - behind, "\r\n.\r\n", 5);
    if (end == NULL) {
        connection->scanned = connection->size > 4 ? connection->size - 4 : 0;
        return;
    }
    struct message *message = calloc(1, sizeof *message);
    message->octets = connection->content;
    message->size = (size_t)(end + 5 - connection->content);
    message->client = connection->descriptor;
    memcpy(message->from, connection->from, ADDRESS);
    memcpy(message->to, connection->to, ADDRESS);
    connection->content = NULL;
    connection->size = connection->room = 0;
    connection->stage = COMMITTING;
    hand_to_commit(message);
}

static void hear_commands(struct connection *connection) {
    ssize_t count = read(connection->descriptor, connection->line + connection->filled, LINE - connection->filled);
    if (count <= 0) {
        closed(connection);
        return;
    }
    connection->filled += (size_t)count;
    char *end;
    while ((end = memmem(connection->line, connection->filled, "\r\n", 2)) != NULL) {
        *end = 0;
        if (!obey(connection, connection->line))
            return;
        size_t used = (size_t)(end + 2 - connection->line);
        connection->filled -= used;
        memmove(connection->line, connection->line + used, connection->filled);
    }
}

static void acknowledge_committed(void) {
    eventfd_t rings;
    eventfd_read(bell, &rings);
    pthread_mutex_lock(&lock);
    struct message *message = take_all(&committed);
    pthread_mutex_unlock(&lock);
    while (message != NULL) {
        struct message *next = message->next;
        struct connection *client = connections[message->client];
        if (client != NULL && client->stage == COMMITTING) {
            client->stage = COMMAND;
            say_line(client, "250 2.0.0 Ok\r\n");
        }
        deliver(message);
        message = next;
    }
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: floor PORT NEXT-HOP-PORT DATABASE\n");
        return 64;
    }
    next_hop = atoi(arguments[2]);
    poll_descriptor = epoll_create1(0);
    bell = eventfd(0, EFD_NONBLOCK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1024) != 0)
        give_up("the port");
    struct epoll_event listening = {.events = EPOLLIN, .data.fd = listener}, ringing = {.events = EPOLLIN, .data.fd = bell};
    epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, listener, &listening);
    epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, bell, &ringing);
    pthread_t committer;
    if (pthread_create(&committer, NULL, commit_for_ever, arguments[3]) != 0)
        give_up("a thread");
    for (;;) {
        struct epoll_event events[64];
        int ready = epoll_wait(poll_descriptor, events, 64, -1);
        for (int index = 0; index < ready; index++) {
            int descriptor = events[index].data.fd;
            struct connection *connection = connections[descriptor];
            if (descriptor == listener) {
                int client;
                while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
                    say_line(opened(client, COMMAND), "220 floor ESMTP\r\n");
            } else if (descriptor == bell) {
                acknowledge_committed();
            } else if (connection == NULL) {
                continue;
            } else if (connection->stage >= GREETED) {
                hear_next_hop(connection);
            } else if (connection->stage == CONTENT) {
                hear_content(connection);
            } else {
                hear_commands(connection);
            }
        }
    }
}
