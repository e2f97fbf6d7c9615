// Package textindex answers which of an account's messages hold a string, on
// the decoded text that internal/mime takes out of them when their bytes come.
//
// What is kept true. An answer is what a scan of every extract would give: the
// index only chooses candidates, the extract of each decides. What is not in
// the index yet is scanned, so nothing is ever missing; what was deleted or
// renewed since is filtered by the extract that is there now. Everything at
// rest is a store.Derived value, sealed under its account's key; the keys are
// numbers and message ids and tell nothing of the mail.
//
// How it is built. Put stores an extract and, in the same transaction, a mark
// that its message is not indexed. Once an account has enough marks, and sooner
// where a search had to scan what is marked, Run folds them, with segments that
// are small, into a segment of up to 4,096 messages: a list of its messages, and
// for each hashed trigram (of runes folded by mime.Fold) the list of those that
// have it, cut into groups by hash. Beside them lie the header fields that are
// searched by name, in pages of 128 messages. A segment never changes. The
// manifest, one record an account, says which segments count; replacing old ones
// by a new one and taking the marks away is one transaction. A crash before it
// leaves records that the manifest lists as garbage, and the work is done again.
//
// A query reads the manifest, the groups of a handful of its trigrams in each
// segment, and the extracts of the candidates, or the pages of their fields. One
// that is too short to have a trigram scans all extracts that it was asked about.
//
// How it fails. A damaged segment is not trusted: its messages are scanned,
// and Run builds it anew. An account that is gone is no error: there is
// nothing of it.
//
// Where to start: Index.Search, then build.go.
package textindex
