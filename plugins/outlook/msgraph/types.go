package msgraph

import (
	"encoding/json"
	"time"
)

// Message is the message resource. Fields are pointers or slices where "not
// told" and "empty" differ: a delta may report parts of a message.
type Message struct {
	Type    string `json:"@odata.type,omitempty"`
	ETag    string `json:"@odata.etag,omitempty"`
	Removed *struct {
		Reason string `json:"reason"`
	} `json:"@removed,omitempty"`

	ID                string      `json:"id"`
	ChangeKey         string      `json:"changeKey,omitempty"`
	ParentFolderID    string      `json:"parentFolderId,omitempty"`
	ConversationID    string      `json:"conversationId,omitempty"`
	InternetMessageID string      `json:"internetMessageId,omitempty"`
	Subject           string      `json:"subject,omitempty"`
	BodyPreview       string      `json:"bodyPreview,omitempty"`
	Importance        string      `json:"importance,omitempty"`
	HasAttachments    *bool       `json:"hasAttachments,omitempty"`
	From              *Recipient  `json:"from,omitempty"`
	Sender            *Recipient  `json:"sender,omitempty"`
	To                []Recipient `json:"toRecipients,omitempty"`
	Cc                []Recipient `json:"ccRecipients,omitempty"`
	Bcc               []Recipient `json:"bccRecipients,omitempty"`
	ReplyTo           []Recipient `json:"replyTo,omitempty"`
	Created           *time.Time  `json:"createdDateTime,omitempty"`
	Received          *time.Time  `json:"receivedDateTime,omitempty"`
	Sent              *time.Time  `json:"sentDateTime,omitempty"`

	IsRead     *bool    `json:"isRead,omitempty"`
	IsDraft    *bool    `json:"isDraft,omitempty"`
	Flag       *Flag    `json:"flag,omitempty"`
	Categories []string `json:"categories,omitempty"`

	Headers    []Header   `json:"internetMessageHeaders,omitempty"`
	Properties []Property `json:"singleValueExtendedProperties,omitempty"`
}

// Flag is the followupFlag resource.
type Flag struct {
	Status string `json:"flagStatus"`
}

// Recipient is the recipient resource.
type Recipient struct {
	EmailAddress EmailAddress `json:"emailAddress"`
}

// EmailAddress is the emailAddress resource.
type EmailAddress struct {
	Name    string `json:"name,omitempty"`
	Address string `json:"address,omitempty"`
}

// Header is the internetMessageHeader resource.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Property is the singleValueLegacyExtendedProperty resource.
type Property struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}

// Folder is the mailFolder resource.
type Folder struct {
	Type           string `json:"@odata.type"`
	ID             string `json:"id"`
	DisplayName    string `json:"displayName"`
	ParentFolderID string `json:"parentFolderId"`
	ChildCount     int64  `json:"childFolderCount"`
	Total          *int64 `json:"totalItemCount"`
	Unread         *int64 `json:"unreadItemCount"`
	IsHidden       bool   `json:"isHidden"`
}

// Page is one page of a collection.
type Page[T any] struct {
	Value     []T    `json:"value"`
	NextLink  string `json:"@odata.nextLink"`
	DeltaLink string `json:"@odata.deltaLink"`
}

// User is the part of the user resource that is of use here.
type User struct {
	ID                string `json:"id"`
	DisplayName       string `json:"displayName"`
	Mail              string `json:"mail"`
	UserPrincipalName string `json:"userPrincipalName"`
}

// Subscription is the subscription resource.
type Subscription struct {
	ID                       string     `json:"id,omitempty"`
	Resource                 string     `json:"resource,omitempty"`
	ChangeType               string     `json:"changeType,omitempty"`
	ClientState              string     `json:"clientState,omitempty"`
	NotificationURL          string     `json:"notificationUrl,omitempty"`
	LifecycleNotificationURL string     `json:"lifecycleNotificationUrl,omitempty"`
	Expires                  *time.Time `json:"expirationDateTime,omitempty"`
	TLSVersion               string     `json:"latestSupportedTlsVersion,omitempty"`
}

// Notification is one entry of what Graph posts to a notification URL, a
// change or, where LifecycleEvent is set, something about the subscription.
type Notification struct {
	SubscriptionID string          `json:"subscriptionId"`
	ClientState    string          `json:"clientState"`
	ChangeType     string          `json:"changeType"`
	LifecycleEvent string          `json:"lifecycleEvent"`
	ResourceData   json.RawMessage `json:"resourceData"`
}

// Attachment is the fileAttachment or itemAttachment resource, as it is
// created.
type Attachment struct {
	Type         string `json:"@odata.type"`
	Name         string `json:"name"`
	ContentType  string `json:"contentType,omitempty"`
	ContentBytes []byte `json:"contentBytes,omitempty"`
	ContentID    string `json:"contentId,omitempty"`
	IsInline     bool   `json:"isInline,omitempty"`
}

// FileAttachment is the type of attachments that are files.
const FileAttachment = "#microsoft.graph.fileAttachment"
