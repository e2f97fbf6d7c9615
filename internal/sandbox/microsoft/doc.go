// Package microsoft is the sandbox's Microsoft: one https server that plays
// both login.microsoftonline.com (package identity) and graph.microsoft.com
// (package graph for mail, package push for subscriptions).
//
// Here is what stands in front of them. A request to Graph passes, in this
// order:
//
//  1. the envelope: request-id and the other headers of every answer;
//  2. the counter, which sees what the client is told in the end;
//  3. the bearer token (401 in Graph's words);
//  4. the throttle: at most four at once for each app and mailbox;
//  5. the faults that are set for its user, method and path: an answer that
//     they hold back keeps its place in the throttle;
//  6. mail. Subscriptions and $batch pass all but the throttle.
//
// The items of a $batch pass 2, 4, 5 and 6 one by one, so that a single item
// is counted, refused with 429 or spoiled.
//
// A fault with cut_after has the request executed in full, then ends the
// connection without a byte of the answer (HTTP/2: the stream is reset).
//
// Start reading at server.go, then chain.go.
package microsoft
