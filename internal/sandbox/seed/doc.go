// Package seed writes the mail that the sandbox's first users find: threads
// between people, newsletters, receipts, notices of machines, in several
// languages and charsets, with HTML, attachments and pictures in the text,
// over inbox, sent, archive, drafts and folders of their own.
//
// The same seed, people and time give the same bytes. All of it is invented;
// every address is under a name reserved for examples (RFC 2606, RFC 6761).
//
// Start reading at seed.go; compose.go builds the messages.
package seed
