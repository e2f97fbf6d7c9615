// Package mimetree reads mail as it is found: headers, structure, transfer
// encodings, charsets, addresses and dates, for the sandbox's clouds.
//
// Nothing here fails. What breaks the rules of RFC 5322 and RFC 2045 is read
// as a person would read it, and no byte is lost on the way: a [Part]'s bytes
// are slices of the message, decoded only when asked for. Depth and number of
// parts are bounded, so that no message costs more than its size.
//
// Start at [Parse] for a whole message, [ParseHeader] for its header alone.
package mimetree
