package msgraph

import (
	"encoding/json"
	"errors"
	"fmt"
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
	Created           *Time       `json:"createdDateTime,omitempty"`
	Received          *Time       `json:"receivedDateTime,omitempty"`
	Sent              *Time       `json:"sentDateTime,omitempty"`

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

// Time is a time that a service tells. What is no time, or none that mail can
// be of, is told as none: a whole page must not be lost for one message's date.
type Time struct{ time.Time }

// UnmarshalJSON reads a time (RFC 3339).
func (t *Time) UnmarshalJSON(b []byte) error {
	if t.Time.UnmarshalJSON(b) != nil || t.Year() < 1 || t.Year() > 9999 {
		t.Time = time.Time{}
	}
	return nil
}

// Page is one page of a collection.
type Page[T any] struct {
	Value     []T    `json:"value"`
	NextLink  string `json:"@odata.nextLink"`
	DeltaLink string `json:"@odata.deltaLink"`
}

// check: a page without a list is no page. Taken for an empty one it would say
// that all is gone.
func (p *Page[T]) check() error {
	if p.Value == nil {
		return errors.New("a page without entries")
	}
	for i := range p.Value {
		if err := check(&p.Value[i]); err != nil {
			return err
		}
	}
	return nil
}

// maxID is longer than any id that the service gives (about 150 octets).
const maxID = 4096

func checkID(id string) error {
	if len(id) > maxID {
		return fmt.Errorf("an id of %d octets", len(id))
	}
	return nil
}

func (m *Message) check() error {
	return errors.Join(checkID(m.ID), checkID(m.ParentFolderID), checkID(m.ConversationID))
}

func (f *Folder) check() error { return errors.Join(checkID(f.ID), checkID(f.ParentFolderID)) }

// check looks at a decoded answer, where it has something to look at.
func check(out any) error {
	if c, ok := out.(interface{ check() error }); ok {
		return c.check()
	}
	return nil
}

// User is the part of the user resource that is of use here.
type User struct {
	ID                string `json:"id"`
	DisplayName       string `json:"displayName"`
	Mail              string `json:"mail"`
	UserPrincipalName string `json:"userPrincipalName"`
	// ProxyAddresses come only where they are selected.
	ProxyAddresses []string `json:"proxyAddresses"`
}

// Subscription is the subscription resource.
type Subscription struct {
	ID                       string `json:"id,omitempty"`
	Resource                 string `json:"resource,omitempty"`
	ChangeType               string `json:"changeType,omitempty"`
	ClientState              string `json:"clientState,omitempty"`
	NotificationURL          string `json:"notificationUrl,omitempty"`
	LifecycleNotificationURL string `json:"lifecycleNotificationUrl,omitempty"`
	Expires                  *Time  `json:"expirationDateTime,omitempty"`
	TLSVersion               string `json:"latestSupportedTlsVersion,omitempty"`
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
