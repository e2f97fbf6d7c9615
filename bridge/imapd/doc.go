// Package imapd is the IMAP server.
package imapd
