// Package google is the sandbox's Google: one http server that plays
// accounts.google.com, oauth2.googleapis.com and the key set of
// www.googleapis.com (package oauth), gmail.googleapis.com (package gmail) and
// pubsub.googleapis.com (package pubsub), told apart by the path.
//
// A request passes, in this order:
//
//  1. the counter, which sees what the client is told in the end (package
//     front);
//  2. the bearer token, looked up to know whose request it is. A bad one is
//     refused further on, in the words of the API it was sent to;
//  3. the faults that are set for its user, method and path;
//  4. the API.
//
// The items of a batch pass 1, 3 and 4 one by one.
//
// Start reading at server.go, then chain.go.
package google
