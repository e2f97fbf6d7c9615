package gmail

import "net/http"

// The scopes of the API. The first is the only one that may delete for good.
const (
	scopeFull          = "https://mail.google.com/"
	scopeModify        = "https://www.googleapis.com/auth/gmail.modify"
	scopeReadonly      = "https://www.googleapis.com/auth/gmail.readonly"
	scopeMetadata      = "https://www.googleapis.com/auth/gmail.metadata"
	scopeCompose       = "https://www.googleapis.com/auth/gmail.compose"
	scopeSend          = "https://www.googleapis.com/auth/gmail.send"
	scopeInsert        = "https://www.googleapis.com/auth/gmail.insert"
	scopeLabels        = "https://www.googleapis.com/auth/gmail.labels"
	scopeBasic         = "https://www.googleapis.com/auth/gmail.settings.basic"
	scopeSharing       = "https://www.googleapis.com/auth/gmail.settings.sharing"
	scopeAddonCompose  = "https://www.googleapis.com/auth/gmail.addons.current.action.compose"
	scopeAddonAction   = "https://www.googleapis.com/auth/gmail.addons.current.message.action"
	scopeAddonMetadata = "https://www.googleapis.com/auth/gmail.addons.current.message.metadata"
	scopeAddonReadonly = "https://www.googleapis.com/auth/gmail.addons.current.message.readonly"
)

// The kinds of query parameters.
const (
	pString = iota
	pBool
	pUint32
	pUint64
	pEnum
)

// A param is a query parameter that a method takes.
type param struct {
	name     string
	kind     int
	repeated bool
	values   []string // of an enum
}

// A method is one operation of the API, as Google's discovery document tells
// it: any of the scopes is enough. units are what it costs projects made since
// May 2026, oldUnits what it costs the others.
type method struct {
	id       string // "gmail.users.messages.list"
	verb     string
	path     string // "/gmail/v1/users/{userId}/messages"
	rpc      string // its name inside, as a refusal for want of scopes tells it
	units    int
	oldUnits int
	upload   bool // also under /upload and /resumable/upload
	scopes   []string
	query    []param
}

// methods is the route table. A method without a handler answers 501.
func methods() []method {
	return []method{
		{id: "gmail.users.getProfile", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/profile", rpc: "GetProfile", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeCompose, scopeMetadata, scopeModify, scopeReadonly}},
		{id: "gmail.users.stop", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/stop", rpc: "Stop", units: 50, oldUnits: 50,
			scopes: []string{scopeFull, scopeMetadata, scopeModify, scopeReadonly}},
		{id: "gmail.users.watch", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/watch", rpc: "Watch", units: 100, oldUnits: 100,
			scopes: []string{scopeFull, scopeMetadata, scopeModify, scopeReadonly}},
		{id: "gmail.users.drafts.create", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/drafts", rpc: "CreateDraft", units: 10, oldUnits: 10, upload: true,
			scopes: []string{scopeFull, scopeAddonCompose, scopeCompose, scopeModify}},
		{id: "gmail.users.drafts.delete", verb: http.MethodDelete, path: "/gmail/v1/users/{userId}/drafts/{id}", rpc: "DeleteDraft", units: 10, oldUnits: 10,
			scopes: []string{scopeFull, scopeAddonCompose, scopeCompose, scopeModify}},
		{id: "gmail.users.drafts.get", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/drafts/{id}", rpc: "GetDraft", units: 20, oldUnits: 5,
			scopes: []string{scopeFull, scopeCompose, scopeModify, scopeReadonly},
			query:  []param{{name: "format", kind: pEnum, values: []string{"minimal", "full", "raw", "metadata"}}}},
		{id: "gmail.users.drafts.list", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/drafts", rpc: "ListDrafts", units: 5, oldUnits: 5,
			scopes: []string{scopeFull, scopeCompose, scopeModify, scopeReadonly},
			query:  []param{{name: "includeSpamTrash", kind: pBool}, {name: "maxResults", kind: pUint32}, {name: "pageToken", kind: pString}, {name: "q", kind: pString}}},
		{id: "gmail.users.drafts.send", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/drafts/send", rpc: "SendDraft", units: 100, oldUnits: 100, upload: true,
			scopes: []string{scopeFull, scopeAddonCompose, scopeCompose, scopeModify}},
		{id: "gmail.users.drafts.update", verb: http.MethodPut, path: "/gmail/v1/users/{userId}/drafts/{id}", rpc: "UpdateDraft", units: 15, oldUnits: 15, upload: true,
			scopes: []string{scopeFull, scopeAddonCompose, scopeCompose, scopeModify}},
		{id: "gmail.users.history.list", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/history", rpc: "ListHistory", units: 2, oldUnits: 2,
			scopes: []string{scopeFull, scopeMetadata, scopeModify, scopeReadonly},
			query:  []param{{name: "historyTypes", kind: pEnum, repeated: true, values: []string{"messageAdded", "messageDeleted", "labelAdded", "labelRemoved"}}, {name: "labelId", kind: pString}, {name: "maxResults", kind: pUint32}, {name: "pageToken", kind: pString}, {name: "startHistoryId", kind: pUint64}}},
		{id: "gmail.users.labels.create", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/labels", rpc: "CreateLabel", units: 5, oldUnits: 5,
			scopes: []string{scopeFull, scopeLabels, scopeModify}},
		{id: "gmail.users.labels.delete", verb: http.MethodDelete, path: "/gmail/v1/users/{userId}/labels/{id}", rpc: "DeleteLabel", units: 5, oldUnits: 5,
			scopes: []string{scopeFull, scopeLabels, scopeModify}},
		{id: "gmail.users.labels.get", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/labels/{id}", rpc: "GetLabel", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeLabels, scopeMetadata, scopeModify, scopeReadonly}},
		{id: "gmail.users.labels.list", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/labels", rpc: "ListLabels", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeLabels, scopeMetadata, scopeModify, scopeReadonly}},
		{id: "gmail.users.labels.patch", verb: http.MethodPatch, path: "/gmail/v1/users/{userId}/labels/{id}", rpc: "PatchLabel", units: 5, oldUnits: 5,
			scopes: []string{scopeFull, scopeLabels, scopeModify}},
		{id: "gmail.users.labels.update", verb: http.MethodPut, path: "/gmail/v1/users/{userId}/labels/{id}", rpc: "UpdateLabel", units: 5, oldUnits: 5,
			scopes: []string{scopeFull, scopeLabels, scopeModify}},
		{id: "gmail.users.messages.batchDelete", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/messages/batchDelete", rpc: "BatchDeleteMessages", units: 50, oldUnits: 50,
			scopes: []string{scopeFull}},
		{id: "gmail.users.messages.batchModify", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/messages/batchModify", rpc: "BatchModifyMessages", units: 50, oldUnits: 50,
			scopes: []string{scopeFull, scopeModify}},
		{id: "gmail.users.messages.delete", verb: http.MethodDelete, path: "/gmail/v1/users/{userId}/messages/{id}", rpc: "DeleteMessage", units: 10, oldUnits: 10,
			scopes: []string{scopeFull}},
		{id: "gmail.users.messages.get", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/messages/{id}", rpc: "GetMessage", units: 20, oldUnits: 5,
			scopes: []string{scopeFull, scopeAddonAction, scopeAddonMetadata, scopeAddonReadonly, scopeMetadata, scopeModify, scopeReadonly},
			query:  []param{{name: "format", kind: pEnum, values: []string{"minimal", "full", "raw", "metadata"}}, {name: "metadataHeaders", kind: pString, repeated: true}}},
		{id: "gmail.users.messages.import", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/messages/import", rpc: "ImportMessage", units: 25, oldUnits: 25, upload: true,
			scopes: []string{scopeFull, scopeInsert, scopeModify},
			query:  []param{{name: "deleted", kind: pBool}, {name: "internalDateSource", kind: pEnum, values: []string{"receivedTime", "dateHeader"}}, {name: "neverMarkSpam", kind: pBool}, {name: "processForCalendar", kind: pBool}}},
		{id: "gmail.users.messages.insert", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/messages", rpc: "InsertMessage", units: 25, oldUnits: 25, upload: true,
			scopes: []string{scopeFull, scopeInsert, scopeModify},
			query:  []param{{name: "deleted", kind: pBool}, {name: "internalDateSource", kind: pEnum, values: []string{"receivedTime", "dateHeader"}}}},
		{id: "gmail.users.messages.list", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/messages", rpc: "ListMessages", units: 5, oldUnits: 5,
			scopes: []string{scopeFull, scopeMetadata, scopeModify, scopeReadonly},
			query:  []param{{name: "includeSpamTrash", kind: pBool}, {name: "labelIds", kind: pString, repeated: true}, {name: "maxResults", kind: pUint32}, {name: "pageToken", kind: pString}, {name: "q", kind: pString}}},
		{id: "gmail.users.messages.modify", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/messages/{id}/modify", rpc: "ModifyMessage", units: 5, oldUnits: 5,
			scopes: []string{scopeFull, scopeModify}},
		{id: "gmail.users.messages.send", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/messages/send", rpc: "SendMessage", units: 100, oldUnits: 100, upload: true,
			scopes: []string{scopeFull, scopeAddonCompose, scopeCompose, scopeModify, scopeSend}},
		{id: "gmail.users.messages.trash", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/messages/{id}/trash", rpc: "TrashMessage", units: 5, oldUnits: 5,
			scopes: []string{scopeFull, scopeModify}},
		{id: "gmail.users.messages.untrash", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/messages/{id}/untrash", rpc: "UntrashMessage", units: 5, oldUnits: 5,
			scopes: []string{scopeFull, scopeModify}},
		{id: "gmail.users.messages.attachments.get", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/messages/{messageId}/attachments/{id}", rpc: "GetAttachment", units: 20, oldUnits: 5,
			scopes: []string{scopeFull, scopeAddonAction, scopeAddonReadonly, scopeModify, scopeReadonly}},
		{id: "gmail.users.settings.getAutoForwarding", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/autoForwarding", rpc: "GetAutoForwarding", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.getImap", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/imap", rpc: "GetImap", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.getLanguage", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/language", rpc: "GetLanguage", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.getPop", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/pop", rpc: "GetPop", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.getVacation", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/vacation", rpc: "GetVacation", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.updateAutoForwarding", verb: http.MethodPut, path: "/gmail/v1/users/{userId}/settings/autoForwarding", rpc: "UpdateAutoForwarding", units: 5, oldUnits: 5,
			scopes: []string{scopeSharing}},
		{id: "gmail.users.settings.updateImap", verb: http.MethodPut, path: "/gmail/v1/users/{userId}/settings/imap", rpc: "UpdateImap", units: 5, oldUnits: 5,
			scopes: []string{scopeBasic}},
		{id: "gmail.users.settings.updateLanguage", verb: http.MethodPut, path: "/gmail/v1/users/{userId}/settings/language", rpc: "UpdateLanguage", units: 5, oldUnits: 5,
			scopes: []string{scopeBasic}},
		{id: "gmail.users.settings.updatePop", verb: http.MethodPut, path: "/gmail/v1/users/{userId}/settings/pop", rpc: "UpdatePop", units: 5, oldUnits: 5,
			scopes: []string{scopeBasic}},
		{id: "gmail.users.settings.updateVacation", verb: http.MethodPut, path: "/gmail/v1/users/{userId}/settings/vacation", rpc: "UpdateVacation", units: 5, oldUnits: 5,
			scopes: []string{scopeBasic}},
		{id: "gmail.users.settings.delegates.create", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/settings/delegates", rpc: "CreateDelegate", units: 100, oldUnits: 100,
			scopes: []string{scopeSharing}},
		{id: "gmail.users.settings.delegates.delete", verb: http.MethodDelete, path: "/gmail/v1/users/{userId}/settings/delegates/{delegateEmail}", rpc: "DeleteDelegate", units: 5, oldUnits: 5,
			scopes: []string{scopeSharing}},
		{id: "gmail.users.settings.delegates.get", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/delegates/{delegateEmail}", rpc: "GetDelegate", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.delegates.list", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/delegates", rpc: "ListDelegates", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.filters.create", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/settings/filters", rpc: "CreateFilter", units: 100, oldUnits: 100,
			scopes: []string{scopeBasic}},
		{id: "gmail.users.settings.filters.delete", verb: http.MethodDelete, path: "/gmail/v1/users/{userId}/settings/filters/{id}", rpc: "DeleteFilter", units: 5, oldUnits: 5,
			scopes: []string{scopeBasic}},
		{id: "gmail.users.settings.filters.get", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/filters/{id}", rpc: "GetFilter", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.filters.list", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/filters", rpc: "ListFilters", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.forwardingAddresses.create", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/settings/forwardingAddresses", rpc: "CreateForwardingAddress", units: 100, oldUnits: 100,
			scopes: []string{scopeSharing}},
		{id: "gmail.users.settings.forwardingAddresses.delete", verb: http.MethodDelete, path: "/gmail/v1/users/{userId}/settings/forwardingAddresses/{forwardingEmail}", rpc: "DeleteForwardingAddress", units: 5, oldUnits: 5,
			scopes: []string{scopeSharing}},
		{id: "gmail.users.settings.forwardingAddresses.get", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/forwardingAddresses/{forwardingEmail}", rpc: "GetForwardingAddress", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.forwardingAddresses.list", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/forwardingAddresses", rpc: "ListForwardingAddresses", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.sendAs.create", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/settings/sendAs", rpc: "CreateSendAs", units: 100, oldUnits: 100,
			scopes: []string{scopeSharing}},
		{id: "gmail.users.settings.sendAs.delete", verb: http.MethodDelete, path: "/gmail/v1/users/{userId}/settings/sendAs/{sendAsEmail}", rpc: "DeleteSendAs", units: 5, oldUnits: 5,
			scopes: []string{scopeSharing}},
		{id: "gmail.users.settings.sendAs.get", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/sendAs/{sendAsEmail}", rpc: "GetSendAs", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.sendAs.list", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/settings/sendAs", rpc: "ListSendAs", units: 1, oldUnits: 1,
			scopes: []string{scopeFull, scopeModify, scopeReadonly, scopeBasic}},
		{id: "gmail.users.settings.sendAs.patch", verb: http.MethodPatch, path: "/gmail/v1/users/{userId}/settings/sendAs/{sendAsEmail}", rpc: "PatchSendAs", units: 5, oldUnits: 5,
			scopes: []string{scopeBasic, scopeSharing}},
		{id: "gmail.users.settings.sendAs.update", verb: http.MethodPut, path: "/gmail/v1/users/{userId}/settings/sendAs/{sendAsEmail}", rpc: "UpdateSendAs", units: 5, oldUnits: 5,
			scopes: []string{scopeBasic, scopeSharing}},
		{id: "gmail.users.settings.sendAs.verify", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/settings/sendAs/{sendAsEmail}/verify", rpc: "VerifySendAs", units: 100, oldUnits: 100,
			scopes: []string{scopeSharing}},
		{id: "gmail.users.threads.delete", verb: http.MethodDelete, path: "/gmail/v1/users/{userId}/threads/{id}", rpc: "DeleteThread", units: 20, oldUnits: 20,
			scopes: []string{scopeFull}},
		{id: "gmail.users.threads.get", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/threads/{id}", rpc: "GetThread", units: 40, oldUnits: 10,
			scopes: []string{scopeFull, scopeAddonAction, scopeAddonMetadata, scopeAddonReadonly, scopeMetadata, scopeModify, scopeReadonly},
			query:  []param{{name: "format", kind: pEnum, values: []string{"full", "metadata", "minimal"}}, {name: "metadataHeaders", kind: pString, repeated: true}}},
		{id: "gmail.users.threads.list", verb: http.MethodGet, path: "/gmail/v1/users/{userId}/threads", rpc: "ListThreads", units: 10, oldUnits: 10,
			scopes: []string{scopeFull, scopeMetadata, scopeModify, scopeReadonly},
			query:  []param{{name: "includeSpamTrash", kind: pBool}, {name: "labelIds", kind: pString, repeated: true}, {name: "maxResults", kind: pUint32}, {name: "pageToken", kind: pString}, {name: "q", kind: pString}}},
		{id: "gmail.users.threads.modify", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/threads/{id}/modify", rpc: "ModifyThread", units: 10, oldUnits: 10,
			scopes: []string{scopeFull, scopeModify}},
		{id: "gmail.users.threads.trash", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/threads/{id}/trash", rpc: "TrashThread", units: 20, oldUnits: 10,
			scopes: []string{scopeFull, scopeModify}},
		{id: "gmail.users.threads.untrash", verb: http.MethodPost, path: "/gmail/v1/users/{userId}/threads/{id}/untrash", rpc: "UntrashThread", units: 20, oldUnits: 10,
			scopes: []string{scopeFull, scopeModify}},
	}
}
