// Package gmail is the mail half of the sandbox's Google: mailboxes in memory
// and the methods of the Gmail API that read and change them.
//
// What is kept true:
//
//   - A message has one id for life: 16 lower-case hex digits that grow. Its
//     thread has the id of its first message. What a message says never
//     changes, only its labels do; raw is the stored message byte for byte.
//   - Labels are all there is: read is the absence of UNREAD, archived the
//     absence of INBOX. There are no folders.
//   - The mailboxes that the control API tells are the labels that hold mail
//     (INBOX, SENT, DRAFT, TRASH, SPAM and the user's) and [AllMail], in which
//     is what neither TRASH nor SPAM has: archived mail is in that one alone.
//     What is in TRASH or SPAM is told to be in no other.
//     The other labels are keywords: UNREAD the absence of $seen, STARRED
//     $flagged, DRAFT $draft, IMPORTANT $important, CATEGORY_* their own name.
//   - Every change to a message is one record in its mailbox's history, with
//     the labels that the message had then, and every record has its own id,
//     higher than all before it, with gaps.
//   - No request holds a mailbox's lock while it reads from or writes to the
//     network, or while it hands mail to the small internet.
//
// A request passes, in this order:
//
//  1. the counter, which sees what the client is told in the end, and the
//     lookup of the bearer token: both stand in front (package google) and
//     say through [Options].Caller who calls;
//  2. the route (methods.go): what is no method is 404;
//  3. the token (401) and the scopes, of which any that the method names is
//     enough (403);
//  4. the quota: units for each method and requests in flight (403 or 429);
//  5. the faults, which are set in front and hung in here by [Options].Spoil;
//  6. the handler, after userId and the query parameters have been checked.
//
// The items of a batch pass all of it one by one; [Options].Item is the counter
// around each of them.
//
// What leaves a mailbox is completed as Gmail does it (letter.go): the trace of
// the API, From, Date and Message-ID where they are missing or not to be had;
// what is inserted is stored as it came. Messages come in JSON or by Google's
// upload protocols (upload.go, resumable.go); the end of a resumable upload is
// executed once, however often a client that lost the answer asks. A draft has
// an id that stays and a message that does not (drafts.go). Of the settings,
// sendAs is complete, those of the account are kept without effect, and the rest
// is refused in Gmail's words (preferences.go says which).
//
// How it fails: every refusal is an [Error] from errors.go with the status,
// reason and words that the service uses. What the service offers and the
// sandbox does not is refused with 501. What the sources dispute is a field of
// [Settings].
//
// Where to start: server.go for the way of a request, methods.go for the route
// table, mailbox.go for the store, history.go for the change feed, query.go for
// the search language.
package gmail
