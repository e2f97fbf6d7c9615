package table

import "slices"

// Bucket is one ordered table of keys.
type Bucket uint8

// Buckets. In the keys: L is an account's life, t a time, ^t a time that
// sorts newest first, M a MAC.
const (
	bMeta    Bucket = iota // name -> number
	bSetting               // name -> sealed

	bLife      // account -> L
	bKey       // L -> wrapped data key; 0 is the store's own
	bDead      // account, L -> records are left
	bDeadBlobs // account, L -> blobs are left
	bAccount   // account -> sealed
	bLookup    // M(provider, key) -> account
	bGrant     // id -> sealed
	bConnect   // M(link) -> sealed
	bConnectBy // M(state) -> M(link)
	bConnectAt // t, M(link)

	bMailbox      // mailbox -> sealed
	bMailboxOf    // L, mailbox
	bMailboxState // L, mailbox -> counts
	bUID          // L, mailbox, uid -> sealed
	bUIDWait      // L, mailbox, t, message: has no UID yet

	bMessage   // message -> sealed
	bByAccount // L, ^t, message
	bByMailbox // L, mailbox, ^t, message -> uid, 0 while it waits
	bCount     // L -> messages
	bThread    // thread -> L, counts
	bThreadOf  // L, ^t, thread
	bByThread  // L, thread, t, message

	bJournal   // position -> event
	bJournalOf // account, sequence -> position; of format 1
	bJournalBy // account, sequence -> position, packed
	bJournalID // event id -> position, for ids that do not say it
	bSequence  // account -> last sequence, once bJournalBy has none

	bScope   // L, M(name) -> sealed
	bAbsence // L, message -> t

	bEndpoint      // endpoint -> sealed
	bEndpointState // endpoint -> pause, due
	bEndpointDue   // t, endpoint: its first lane that is due
	bLaneDue       // endpoint, t, lane: heads only

	// What is owed lies in the order of the events, position p: what is written
	// at the same time lies together, and a commit writes few pages.
	bOwed        // p, delivery -> sealed
	bOwedID      // delivery -> p, for ids that do not say it
	bOwedBody    // p, event, rendition -> sealed
	bOwedTo      // endpoint, state, ^t, delivery -> p
	bOwedOf      // account, ^t, delivery -> p, packed
	bOwedDone    // state, t done, p, delivery: what a trim does not pass by
	bOwedAttempt // p, delivery, t, number -> sealed
	bOwedLane    // endpoint, lane -> head, last; endpoint, lane, place -> t, p, delivery

	// Of format 1: deliveries and bodies under numbers, n.
	bLane         // endpoint, lane -> head, last sequence
	bLaneItem     // endpoint, lane, place -> t, n
	bBodyID       // event, rendition -> n, how many deliveries need it
	bBody         // n -> sealed
	bDeliveryID   // delivery -> n
	bDelivery     // n -> sealed
	bDeliveryTo   // endpoint, state, ^t, delivery -> n
	bDeliveryOf   // account, ^t, delivery -> n
	bDeliveryDone // state, t done, n
	bAttempt      // n, t, number -> sealed

	bSubmission      // submission -> sealed
	bSubmissionOf    // L, submission -> where it stands in due or done
	bSubmissionDue   // t, submission -> L
	bSubmissionDone  // t, submission -> L
	bSubmissionKey   // L, M(key) -> submission
	bSubmissionMsgID // L, M(message id) -> submission
	bSubmissionDraft // L, M(draft id) -> submission

	bJob        // job -> sealed
	bJobAt      // ^t, job
	bJobRunning // t, job
	bJobDone    // t done, job
	bJobOf      // account, job

	bDerived // L, kind, key -> sealed

	bAppPassword   // app password -> sealed
	bAppPasswordOf // L, app password -> M(hash)
	bAppPasswordBy // M(hash) -> L, app password

	bSubscribed // L, M(name) -> sealed

	bBlob     // L, M(digest) -> segment, offset, lengths
	bPackItem // segment, offset -> L, M(digest)
	bPack     // segment -> live bytes
	bBlobKept // L, M(digest): stays until it is deleted

	buckets
)

// bucketNames are what the buckets are called on the disk, and in additional
// data. They never change.
var bucketNames = [buckets]string{
	bMeta: "meta", bSetting: "setting",
	bLife: "life", bKey: "key", bDead: "dead", bDeadBlobs: "dead_blobs", bAccount: "account", bLookup: "lookup",
	bGrant: "grant", bConnect: "connect", bConnectBy: "connect_by", bConnectAt: "connect_at",
	bMailbox: "mailbox", bMailboxOf: "mailbox_of", bMailboxState: "mailbox_state", bUID: "uid", bUIDWait: "uid_wait",
	bMessage: "message", bByAccount: "by_account", bByMailbox: "by_mailbox", bCount: "count",
	bThread: "thread", bThreadOf: "thread_of", bByThread: "by_thread",
	bJournal: "journal", bJournalOf: "journal_of", bJournalBy: "journal_by", bJournalID: "journal_id", bSequence: "sequence",
	bScope: "scope", bAbsence: "absence",
	bEndpoint: "endpoint", bEndpointState: "endpoint_state", bEndpointDue: "endpoint_due",
	bLaneDue: "lane_due", bOwed: "owed", bOwedID: "owed_id", bOwedBody: "owed_body", bOwedTo: "owed_to", bOwedOf: "owed_of",
	bOwedDone: "owed_done", bOwedAttempt: "owed_attempt", bOwedLane: "owed_lane",
	bLane: "lane", bLaneItem: "lane_item", bBodyID: "body_id", bBody: "body",
	bDeliveryID: "delivery_id", bDelivery: "delivery", bDeliveryTo: "delivery_to",
	bDeliveryOf: "delivery_of", bDeliveryDone: "delivery_done", bAttempt: "attempt",
	bSubmission: "submission", bSubmissionOf: "submission_of", bSubmissionDue: "submission_due",
	bSubmissionDone: "submission_done", bSubmissionKey: "submission_key",
	bSubmissionMsgID: "submission_msgid", bSubmissionDraft: "submission_draft",
	bJob: "job", bJobAt: "job_at", bJobRunning: "job_running", bJobDone: "job_done", bJobOf: "job_of",
	bDerived: "derived", bAppPassword: "app_password", bAppPasswordOf: "app_password_of", bAppPasswordBy: "app_password_by",
	bSubscribed: "subscribed",
	bBlob:       "blob", bPackItem: "pack_item", bPack: "pack", bBlobKept: "blob_kept",
}

// BucketNames lists the buckets' names, by number.
func BucketNames() []string {
	return slices.Clone(bucketNames[:])
}

// Appended reports whether a bucket's keys mostly come in ascending order, so
// that its pages can be filled.
func (b Bucket) Appended() bool {
	switch b {
	case bJournal, bOwed, bOwedBody, bOwedDone, bOwedAttempt, bPackItem:
		return true
	}
	return false
}

// String names the bucket.
func (b Bucket) String() string { return bucketNames[b] }
