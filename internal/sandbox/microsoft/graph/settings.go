package graph

import "time"

// Settings holds what the sources leave open, dispute or let vary between
// tenants. The zero value of a field is never a surprise: start from
// [DefaultSettings] and change what a test is about.
type Settings struct {
	// FolderNames gives the display names of the well-known folders, which the
	// service localises. A name that is missing here is the English one.
	FolderNames map[string]string
	// Archive says whether new mailboxes have an archive folder; without one
	// its well-known name answers 404.
	Archive bool
	// DeletedFolderMoves makes DELETE on a folder a move of the subtree to
	// Deleted Items; otherwise it is gone at once.
	DeletedFolderMoves bool

	// PageSize is the number of items in a page when $top does not say.
	PageSize int
	// MaxPageSize is the largest $top.
	MaxPageSize int
	// SearchPageSize is the number of hits in a page of $search.
	SearchPageSize int
	// SearchLimit ends a $search: 1,000 since 2022, 250 before.
	SearchLimit int
	// SearchLag keeps new mail out of the search index for that long.
	SearchLag time.Duration
	// MaxFilterClauses is the number of comparisons from which a $filter is
	// refused as InefficientFilter.
	MaxFilterClauses int
	// SanitizeHTML rewraps HTML bodies and drops what runs, unless the request
	// prefers outlook.allow-unsafe-html.
	SanitizeHTML bool

	// DeltaPageSize is the page of a delta round when the request does not say.
	DeltaPageSize int
	// DeltaMaxPageSize is the largest odata.maxpagesize that is honoured.
	DeltaMaxPageSize int
	// DeltaFilterLimit is the number of messages that a filtered round returns.
	DeltaFilterLimit int
	// DeltaTokenLifetime is the age at which delta and next links answer 410.
	DeltaTokenLifetime time.Duration
	// DeltaLag hides changes from delta until they are that old.
	DeltaLag time.Duration
	// DeltaPartialReads reports a change of isRead alone as a partial object.
	DeltaPartialReads bool
	// DeltaReplays repeats the last item of a page at the head of the next.
	DeltaReplays bool
	// DeltaMovesTwice reports a message that was moved into a folder twice.
	DeltaMovesTwice bool
	// DeltaEmptyPages puts an empty page before the last of a round with several.
	DeltaEmptyPages bool
	// RemovedReason is @removed.reason for a message that left the folder:
	// "deleted" in every mail example seen, "changed" by the general definition.
	RemovedReason string

	// MaxRequestBytes limits a request's body, JSON or MIME in base64.
	MaxRequestBytes int64
	// OversizeStatus is the status of a body over that limit: 413 or 400.
	OversizeStatus int
	// MaxMessageBytes is the mailbox's limit for a message that is sent.
	MaxMessageBytes int64
	// SilentMIMEBytes is the size from which MIME is accepted and never sent, as
	// reported in 2021; 0 sends everything.
	SilentMIMEBytes int64
	// MaxRecipients is the number of recipients of one message.
	MaxRecipients int
	// MaxCustomHeaders is the number of x- headers that a JSON message may set.
	MaxCustomHeaders int
	// KeepMessageID keeps a Message-ID that the client gave, in MIME or as
	// internetMessageId; otherwise the service writes its own.
	KeepMessageID bool
	// OutboxTransit lets a sent message pass through the outbox, with changes of
	// its own whose id is gone when they are read.
	OutboxTransit bool
	// SendGap is how long a message that was just sent answers 404.
	SendGap time.Duration

	// AttachToDraftsOnly refuses attachments for a message that is no draft. The
	// real service takes them: tools that restore mailboxes make a message with
	// PidTagMessageFlags and add its attachments afterwards.
	AttachToDraftsOnly bool
	// SmallAttachmentBytes is the smallest file of an upload session and the
	// limit of an attachment given in JSON.
	SmallAttachmentBytes int64
	// LargeAttachmentBytes is the largest file of an upload session.
	LargeAttachmentBytes int64
	// UploadChunkBytes is the largest range of one PUT.
	UploadChunkBytes int64
	// UploadLifetime is how long an upload session lives.
	UploadLifetime time.Duration

	// NewMailUpdates tells new mail as created and updated, as the service does.
	NewMailUpdates bool

	// BatchItems is the number of requests in one $batch.
	BatchItems int
	// BatchConcurrency is how many of them run at once; 0 runs all, which was
	// the older behaviour and drew 429s from the mailbox's own limit.
	BatchConcurrency int

	// MailboxBytes is the quota of a mailbox; 0 is none. What would pass it is
	// refused with ErrorQuotaExceeded.
	MailboxBytes int64
	// GoneFolderCode is the code of a folder that is gone: ErrorItemNotFound or
	// ErrorFolderNotFound.
	GoneFolderCode string
	// HeadersOnSent shows internetMessageHeaders also on mail that was sent from
	// this mailbox.
	HeadersOnSent bool
	// NormalisePropertyIDs returns the ids of extended properties in the
	// service's spelling ("Integer 0xe08"), not the request's.
	NormalisePropertyIDs bool
	// UploadRefusesAuthorization answers 401 to an Authorization header at an
	// upload URL; the documentation forbids sending one.
	UploadRefusesAuthorization bool

	// Codes renames error codes, and Statuses gives the codes of before the
	// renaming another status, where sources disagree: UnableToDeserializePostBody
	// for RequestBodyRead, 400 for ErrorMessageSizeExceeded.
	Codes    map[string]string
	Statuses map[string]int
	// InnerErrorName spells the nested error: "innerError" or "innererror".
	InnerErrorName string
	// DataCenter is told in x-ms-ags-diagnostic.
	DataCenter string
}

// DefaultSettings is the service as the newest sources describe it.
func DefaultSettings() Settings {
	return Settings{
		Archive:            true,
		DeletedFolderMoves: true,

		PageSize:         10,
		MaxPageSize:      1000,
		SearchPageSize:   25,
		SearchLimit:      1000,
		MaxFilterClauses: 40,
		SanitizeHTML:     true,

		DeltaPageSize:      10,
		DeltaMaxPageSize:   1000,
		DeltaFilterLimit:   5000,
		DeltaTokenLifetime: 30 * 24 * time.Hour,
		DeltaPartialReads:  true,
		DeltaReplays:       true,
		DeltaMovesTwice:    true,
		DeltaEmptyPages:    true,
		RemovedReason:      "deleted",

		MaxRequestBytes:  4 << 20,
		OversizeStatus:   413,
		MaxMessageBytes:  35 << 20,
		MaxRecipients:    500,
		MaxCustomHeaders: 5,
		KeepMessageID:    true,
		OutboxTransit:    true,

		SmallAttachmentBytes: 3 << 20,
		LargeAttachmentBytes: 150 << 20,
		UploadChunkBytes:     4 << 20,
		UploadLifetime:       7 * 24 * time.Hour,

		NewMailUpdates: true,

		GoneFolderCode:             "ErrorItemNotFound",
		NormalisePropertyIDs:       true,
		UploadRefusesAuthorization: true,

		BatchItems:       20,
		BatchConcurrency: 4,

		InnerErrorName: "innerError",
		DataCenter:     "Germany West Central",
	}
}

// folderName is the display name of a well-known folder.
func (s Settings) folderName(wellKnown string) string {
	if n := s.FolderNames[wellKnown]; n != "" {
		return n
	}
	return englishNames[wellKnown]
}

var englishNames = map[string]string{
	"msgfolderroot":             "Top of Information Store",
	"inbox":                     "Inbox",
	"drafts":                    "Drafts",
	"sentitems":                 "Sent Items",
	"deleteditems":              "Deleted Items",
	"outbox":                    "Outbox",
	"junkemail":                 "Junk Email",
	"archive":                   "Archive",
	"conversationhistory":       "Conversation History",
	"recoverableitemsdeletions": "Deletions",
	"searchfolders":             "Finder",
}
