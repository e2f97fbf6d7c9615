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
//  3. for Gmail, its quota;
//  4. the faults that are set for its user, method and path;
//  5. the API.
//
// The items of a batch pass all of it one by one, so that a single item is
// counted, refused or spoiled.
//
// Every Google account can sign in; who has no Gmail with it is kept in
// accounts.go, the others are package gmail's. From the start there are a
// developer project with a topic, a subscription that pulls from it, a service
// account that may edit both, and an OAuth client.
//
// Start reading at server.go, then chain.go.
package google
