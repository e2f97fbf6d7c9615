// Package wire is IMAP as bytes: what a client sends becomes commands, and
// what we answer becomes lines and literals (RFC 9051, section 9). It knows
// nothing of mail, of mailboxes or of a server's state.
//
// Reader cuts a stream into commands, however the bytes arrive, and enforces
// the limits: what is too long is read to its end and refused, never kept and
// never taken for the next command. Args walks over one whole command. Writer
// builds responses in a buffer, so that a thousand of them are one write.
//
// What is kept true: Reader gives the same commands for the same bytes,
// however they are split (FuzzReader); a literal's bytes are never read as a
// command; no input makes any of the three panic or hold more memory than the
// limits say. A Writer that failed stays failed: nothing may follow half a
// response.
//
// Start at Reader.Next.
package wire
