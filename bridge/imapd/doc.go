// Package imapd is the IMAP server: listeners, TLS, limits, and the framing that
// stands in front of the library github.com/emersion/go-imap/v2/imapserver.
//
// A connection has two lives. Before login all of it is ours (door.go,
// login.go): the library does not see a byte, so that what it does to strangers
// does not matter. After login the library is given a net.Conn that we made
// (frame.go). When it reads from it everything it was given is used up, so it
// waits for a command: then the next one is cut off the stream. Commands that
// address messages, APPEND, IDLE, ID and CAPABILITY are carried out right
// there, past the library (commands.go, append.go, idle.go), by the session
// of package session; the rest, which is about mailboxes and states, is written
// anew in one plain spelling (feed.go) and handed to the library, which calls
// our session back (adapter.go).
//
// What is kept true. Commands of a connection run one by one in one goroutine,
// so that a session needs no lock. The bytes of a literal are never taken for a
// command. Whatever a client sends is answered: BAD or NO [TOOBIG], and the
// connection goes on, unless it floods. Responses leave in large pieces: when
// the server waits for the client, at 64 KiB, and when IDLE has news. A client
// that leaves ends the context of what it asked for (ahead.go). Nothing that a
// client does makes the server hold more than the limits say.
//
// How it fails. An error of the connection ends it. A panic ends its connection
// and is logged. On shutdown every client is told BYE once its command is done.
//
// Where to start: Server.Serve, then conn.serve in conn.go.
package imapd
