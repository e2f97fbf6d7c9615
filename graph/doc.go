// Package graph is the GraphQL door: schema.graphqls over HTTP, WebSocket and
// SSE, the signed URLs of bytes that stand in its answers, and GraphiQL.
//
// What is kept true.
//
//   - Nobody reads anything without a key; a blob's URL is a key for that blob
//     and a few minutes.
//   - A question costs what it asks for: `first`, depth, complexity, body and
//     time are limited before a resolver runs.
//   - A subscription reads the journal from its own place. The bus only wakes it,
//     so a slow client misses nothing and delays nobody.
//   - An error of ours is logged under an id and told by that id alone. Every
//     other error has a code of ErrorCode.
//
// How it fails. A part of an answer that cannot be had is null, with an error on
// its path; the rest is there. When the gateway stops, Shutdown ends the streams,
// whose clients go on from their last cursor.
//
// Where to start: New (server.go), then http.go for a request's way in, query.go
// and the files named after nouns for the resolvers, subscription.go for the
// journal's reader, errors.go for the codes.
package graph
