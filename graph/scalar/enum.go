package scalar

import (
	"io"
	"strings"

	"github.com/99designs/gqlgen/graphql"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// The words of the schema are those of the packages in capitals, with `_` for a
// dot. Which of them exist, the schema says; a word that reaches these functions
// has passed its validation when it came in, and is ours when it goes out.

var words = strings.NewReplacer(".", "_")

func write[T ~string](v T) graphql.Marshaler {
	if v == "" {
		return graphql.Null
	}
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = io.WriteString(w, `"`+words.Replace(strings.ToUpper(string(v)))+`"`)
	})
}

func read[T ~string](v any) (T, error) {
	s, ok := v.(string)
	if !ok || s == "" {
		return "", invalid("%v is not one of the words of the schema", v)
	}
	return T(strings.ToLower(s)), nil
}

// MarshalEventType writes message.created as MESSAGE_CREATED.
func MarshalEventType(t event.Type) graphql.Marshaler { return write(t) }

// UnmarshalEventType reads MESSAGE_CREATED as message.created.
func UnmarshalEventType(v any) (event.Type, error) {
	s, _ := v.(string)
	for _, t := range event.Types() {
		if words.Replace(strings.ToUpper(string(t))) == s {
			return t, nil
		}
	}
	return "", invalid("%v is not a type of event", v)
}

// MarshalEventTypeName writes a type that is kept as a plain string.
func MarshalEventTypeName(t string) graphql.Marshaler { return write(t) }

// UnmarshalEventTypeName reads a type that is kept as a plain string.
func UnmarshalEventTypeName(v any) (string, error) {
	t, err := UnmarshalEventType(v)
	return string(t), err
}

// MarshalImportance writes the empty importance as NORMAL.
func MarshalImportance(i mail.Importance) graphql.Marshaler {
	if i == "" {
		i = mail.ImportanceNormal
	}
	return write(i)
}

// UnmarshalImportance reads an importance.
func UnmarshalImportance(v any) (mail.Importance, error) { return read[mail.Importance](v) }

// MarshalMailboxKind writes the empty kind as FOLDER.
func MarshalMailboxKind(k mail.MailboxKind) graphql.Marshaler {
	if k == "" {
		k = mail.KindFolder
	}
	return write(k)
}

// UnmarshalMailboxKind reads a kind of mailbox.
func UnmarshalMailboxKind(v any) (mail.MailboxKind, error) { return read[mail.MailboxKind](v) }

// MarshalMirrorMode writes the empty mode as METADATA.
func MarshalMirrorMode(m store.MirrorMode) graphql.Marshaler {
	if m == "" {
		m = store.MirrorMetadata
	}
	return write(m)
}

// UnmarshalMirrorMode reads a mirror mode.
func UnmarshalMirrorMode(v any) (store.MirrorMode, error) { return read[store.MirrorMode](v) }

// MarshalMailboxRole writes a role, null for an ordinary mailbox.
func MarshalMailboxRole(r mail.Role) graphql.Marshaler { return write(r) }

// UnmarshalMailboxRole reads a role.
func UnmarshalMailboxRole(v any) (mail.Role, error) { return read[mail.Role](v) }

// MarshalAccountState writes an account's state.
func MarshalAccountState(s store.AccountState) graphql.Marshaler { return write(s) }

// UnmarshalAccountState reads an account's state.
func UnmarshalAccountState(v any) (store.AccountState, error) { return read[store.AccountState](v) }

// MarshalSubmissionState writes a submission's state.
func MarshalSubmissionState(s store.SubmissionState) graphql.Marshaler { return write(s) }

// UnmarshalSubmissionState reads a submission's state.
func UnmarshalSubmissionState(v any) (store.SubmissionState, error) {
	return read[store.SubmissionState](v)
}

// MarshalDeliveryState writes a delivery's state.
func MarshalDeliveryState(s store.DeliveryState) graphql.Marshaler { return write(s) }

// UnmarshalDeliveryState reads a delivery's state.
func UnmarshalDeliveryState(v any) (store.DeliveryState, error) { return read[store.DeliveryState](v) }

// MarshalProviderState writes a provider instance's state.
func MarshalProviderState(s service.ProviderState) graphql.Marshaler { return write(s) }

// UnmarshalProviderState reads a provider instance's state.
func UnmarshalProviderState(v any) (service.ProviderState, error) {
	return read[service.ProviderState](v)
}

// MarshalEndpointState writes an endpoint's state.
func MarshalEndpointState(s service.EndpointState) graphql.Marshaler { return write(s) }

// UnmarshalEndpointState reads an endpoint's state.
func UnmarshalEndpointState(v any) (service.EndpointState, error) {
	return read[service.EndpointState](v)
}

// MarshalExhaustion writes what becomes of what used up its attempts.
func MarshalExhaustion(e service.Exhaustion) graphql.Marshaler { return write(e) }

// UnmarshalExhaustion reads it.
func UnmarshalExhaustion(v any) (service.Exhaustion, error) { return read[service.Exhaustion](v) }

// MarshalSignatureKind writes a manner of signing.
func MarshalSignatureKind(k service.SignatureKind) graphql.Marshaler { return write(k) }

// UnmarshalSignatureKind reads a manner of signing.
func UnmarshalSignatureKind(v any) (service.SignatureKind, error) {
	return read[service.SignatureKind](v)
}

// MarshalPayloadMode writes how much a webhook tells.
func MarshalPayloadMode(m service.PayloadMode) graphql.Marshaler { return write(m) }

// UnmarshalPayloadMode reads how much a webhook tells.
func UnmarshalPayloadMode(v any) (service.PayloadMode, error) { return read[service.PayloadMode](v) }

// MarshalWatchState writes a push channel's state.
func MarshalWatchState(s service.WatchState) graphql.Marshaler { return write(s) }

// UnmarshalWatchState reads a push channel's state.
func UnmarshalWatchState(v any) (service.WatchState, error) { return read[service.WatchState](v) }
