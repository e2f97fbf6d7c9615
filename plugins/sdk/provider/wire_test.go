package provider

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// filled gives a value with every field of T, at any depth, set to something
// that occurs nowhere else in it.
func filled[T any]() *T {
	var t T
	n := 0
	fill(reflect.ValueOf(&t).Elem(), &n)
	return &t
}

func fill(v reflect.Value, n *int) {
	*n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Unix(int64(1_700_000_000+*n), 0).UTC()
		return
	case *error:
		*x = &mail.Error{Kind: mail.KindConflict, Op: fmt.Sprint("op", *n), Code: "c", Message: "m", Link: "https://l", RetryAfter: time.Duration(*n) * time.Second}
		return
	case *Priority:
		*x = Priority(1 + *n%3)
		return
	case *FetchMode:
		*x = FetchRaw
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, n)
			fill(val, n)
			v.SetMapIndex(key, val)
		}
	case reflect.String:
		v.SetString(fmt.Sprint("s", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8:
		v.SetUint(uint64(1 + *n%255))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		panic("fill: a field of kind " + v.Kind().String())
	}
}

// noZero fails where fill has left something out.
func noZero(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	if v.IsZero() {
		t.Errorf("%s is zero", path)
		return
	}
	if _, ok := v.Interface().(time.Time); ok {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			noZero(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			noZero(t, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	}
}

// echo records each request and answers with every field filled.
type echo struct {
	mu  sync.Mutex
	got map[Verb]any
	raw map[Verb]string
}

func newEcho() *echo { return &echo{got: map[Verb]any{}, raw: map[Verb]string{}} }

func (e *echo) saw(v Verb, req any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got[v] = req
}

func (e *echo) sawRaw(v Verb, r io.Reader) error {
	data, err := io.ReadAll(r)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.raw[v] = string(data)
	return err
}

func (e *echo) Describe(context.Context) (*Info, error) { return filled[Info](), nil }
func (e *echo) Configure(_ context.Context, r *ConfigureRequest) (*ConfigureResponse, error) {
	e.saw(VerbConfigure, r)
	return filled[ConfigureResponse](), nil
}
func (e *echo) Check(context.Context, *CheckRequest) (*CheckResponse, error) {
	return filled[CheckResponse](), nil
}
func (e *echo) Session(ctx context.Context, _ Host) error { <-ctx.Done(); return nil }
func (e *echo) Open(_ context.Context, r *OpenRequest) error {
	e.saw(VerbOpen, r)
	return nil
}
func (e *echo) Close(_ context.Context, r *CloseRequest) error {
	e.saw(VerbClose, r)
	return nil
}
func (e *echo) BeginConnect(_ context.Context, r *BeginConnectRequest) (*BeginConnectResponse, error) {
	e.saw(VerbBeginConnect, r)
	return filled[BeginConnectResponse](), nil
}
func (e *echo) FinishConnect(_ context.Context, r *FinishConnectRequest) (*FinishConnectResponse, error) {
	e.saw(VerbFinishConnect, r)
	return filled[FinishConnectResponse](), nil
}
func (e *echo) Revoke(_ context.Context, r *RevokeRequest) error {
	e.saw(VerbRevoke, r)
	return nil
}
func (e *echo) Mailboxes(_ context.Context, r *MailboxesRequest) (*MailboxesResponse, error) {
	e.saw(VerbMailboxes, r)
	return filled[MailboxesResponse](), nil
}
func (e *echo) CreateMailbox(_ context.Context, r *CreateMailboxRequest) (*CreateMailboxResponse, error) {
	e.saw(VerbCreateMailbox, r)
	return filled[CreateMailboxResponse](), nil
}
func (e *echo) RenameMailbox(_ context.Context, r *RenameMailboxRequest) (*RenameMailboxResponse, error) {
	e.saw(VerbRenameMailbox, r)
	return filled[RenameMailboxResponse](), nil
}
func (e *echo) DeleteMailbox(_ context.Context, r *DeleteMailboxRequest) error {
	e.saw(VerbDeleteMailbox, r)
	return nil
}
func (e *echo) Enumerate(_ context.Context, r *EnumerateRequest, each func(*EnumerateBatch) error) error {
	e.saw(VerbEnumerate, r)
	if err := each(filled[EnumerateBatch]()); err != nil {
		return err
	}
	return each(&EnumerateBatch{})
}
func (e *echo) Changes(_ context.Context, r *ChangesRequest, each func(*mail.Batch) error) error {
	e.saw(VerbChanges, r)
	if err := each(filled[mail.Batch]()); err != nil {
		return err
	}
	return each(&mail.Batch{})
}
func (e *echo) Fetch(_ context.Context, r *FetchRequest, sink FetchSink) error {
	e.saw(VerbFetch, r)
	if err := sink.Message(filled[mail.Message]()); err != nil {
		return err
	}
	if err := sink.Raw("id", "tag", strings.NewReader("raw")); err != nil {
		return err
	}
	return sink.Failed("lost", *filled[error]())
}
func (e *echo) Modify(_ context.Context, r *ModifyRequest) (*ModifyResponse, error) {
	e.saw(VerbModify, r)
	return filled[ModifyResponse](), nil
}
func (e *echo) Append(_ context.Context, r *AppendRequest, raw io.Reader) (*AppendResponse, error) {
	e.saw(VerbAppend, r)
	return filled[AppendResponse](), e.sawRaw(VerbAppend, raw)
}
func (e *echo) Copy(_ context.Context, r *CopyRequest) (*ModifyResponse, error) {
	e.saw(VerbCopy, r)
	return filled[ModifyResponse](), nil
}
func (e *echo) Delete(_ context.Context, r *DeleteRequest) (*ModifyResponse, error) {
	e.saw(VerbDelete, r)
	return filled[ModifyResponse](), nil
}
func (e *echo) Purge(_ context.Context, r *DeleteRequest) (*ModifyResponse, error) {
	e.saw(VerbPurge, r)
	return filled[ModifyResponse](), nil
}
func (e *echo) Prepare(_ context.Context, r *PrepareRequest, raw io.Reader) (*PrepareResponse, error) {
	e.saw(VerbPrepare, r)
	return filled[PrepareResponse](), e.sawRaw(VerbPrepare, raw)
}
func (e *echo) Send(_ context.Context, r *SendRequest) (*SendResponse, error) {
	e.saw(VerbSend, r)
	return filled[SendResponse](), nil
}
func (e *echo) Probe(_ context.Context, r *ProbeRequest) (*ProbeResponse, error) {
	e.saw(VerbProbe, r)
	return filled[ProbeResponse](), nil
}
func (e *echo) Identities(_ context.Context, r *IdentitiesRequest) (*IdentitiesResponse, error) {
	e.saw(VerbIdentities, r)
	return filled[IdentitiesResponse](), nil
}
func (e *echo) Search(_ context.Context, r *SearchRequest) (*SearchResponse, error) {
	e.saw(VerbSearch, r)
	return filled[SearchResponse](), nil
}
func (e *echo) Watch(_ context.Context, r *WatchRequest) (*WatchResponse, error) {
	e.saw(VerbWatch, r)
	return filled[WatchResponse](), nil
}
func (e *echo) Unwatch(_ context.Context, r *UnwatchRequest) error {
	e.saw(VerbUnwatch, r)
	return nil
}
func (e *echo) Notify(_ context.Context, r *NotifyRequest) (*NotifyResponse, error) {
	e.saw(VerbNotify, r)
	return filled[NotifyResponse](), nil
}
func (e *echo) Listen(_ context.Context, _ *ListenRequest, each func(*Hint) error) error {
	return each(filled[Hint]())
}

func pipeTo(t *testing.T, p Provider) Provider {
	t.Helper()
	remote, closer, err := Pipe(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closer.Close(); err != nil {
			t.Errorf("close pipe: %v", err)
		}
	})
	return remote
}

// sameErrors compares mail.Errors by what crosses the wire.
var sameErrors = cmpopts.IgnoreFields(mail.Error{}, "Err")

// TestEveryFieldCrosses calls each verb by reflection, so that a field, or a
// verb, that nobody converts fails here.
func TestEveryFieldCrosses(t *testing.T) {
	e := newEcho()
	remote := pipeTo(t, e)
	ctx := t.Context()
	contract := reflect.TypeFor[Provider]()
	for i := range contract.NumMethod() {
		m := contract.Method(i)
		if m.Name == "Session" { // session_test.go
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			args := []reflect.Value{reflect.ValueOf(ctx)}
			var req any
			var told []any
			for a := 1; a < m.Type.NumIn(); a++ {
				in := m.Type.In(a)
				switch {
				case in == reflect.TypeFor[io.Reader]():
					args = append(args, reflect.ValueOf(strings.NewReader("Subject: x\r\n\r\nbody")))
				case in == reflect.TypeFor[FetchSink]():
					args = append(args, reflect.ValueOf(&recordingSink{told: &told}))
				case in.Kind() == reflect.Func:
					args = append(args, reflect.MakeFunc(in, func(in []reflect.Value) []reflect.Value {
						told = append(told, in[0].Interface())
						return []reflect.Value{reflect.Zero(reflect.TypeFor[error]())}
					}))
				default:
					v := reflect.New(in.Elem())
					n := 0
					fill(v.Elem(), &n)
					if in.Elem().NumField() > 0 {
						noZero(t, in.Elem().Name(), v.Elem())
					}
					if size := v.Elem().FieldByName("Size"); size.IsValid() {
						size.SetInt(int64(len("Subject: x\r\n\r\nbody")))
					}
					req = v.Interface()
					args = append(args, v)
				}
			}
			out := reflect.ValueOf(remote).MethodByName(m.Name).Call(args)
			if err, _ := out[len(out)-1].Interface().(error); err != nil {
				t.Fatal(err)
			}
			verb := verbOf(m.Name)
			if req != nil && verb != VerbListen && verb != VerbCheck {
				if diff := cmp.Diff(req, e.got[verb], sameErrors); diff != "" {
					t.Errorf("request (-sent +arrived):\n%s", diff)
				}
			}
			if len(out) == 2 {
				want := reflect.New(out[0].Type().Elem())
				n := 0
				fill(want.Elem(), &n)
				if diff := cmp.Diff(want.Interface(), out[0].Interface(), sameErrors); diff != "" {
					t.Errorf("answer (-sent +arrived):\n%s", diff)
				}
			}
			var want []any
			switch verb {
			case VerbAppend, VerbPrepare:
				if e.raw[verb] != "Subject: x\r\n\r\nbody" {
					t.Errorf("raw bytes arrived as %q", e.raw[verb])
				}
			case VerbEnumerate:
				want = []any{filled[EnumerateBatch](), &EnumerateBatch{}}
			case VerbChanges:
				want = []any{filled[mail.Batch](), &mail.Batch{}}
			case VerbListen:
				want = []any{filled[Hint]()}
			case VerbFetch:
				want = []any{filled[mail.Message](), "id", "tag", "raw", "lost", *filled[error]()}
			}
			if diff := cmp.Diff(want, told, sameErrors); diff != "" {
				t.Errorf("stream (-sent +arrived):\n%s", diff)
			}
		})
	}
}

// verbOf turns CreateMailbox into create_mailbox.
func verbOf(method string) Verb {
	var b strings.Builder
	for i, r := range method {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return Verb(b.String())
}

type recordingSink struct{ told *[]any }

func (s *recordingSink) Message(m *mail.Message) error { *s.told = append(*s.told, m); return nil }
func (s *recordingSink) Raw(id, tag string, r io.Reader) error {
	data, err := io.ReadAll(r)
	*s.told = append(*s.told, id, tag, string(data))
	return err
}
func (s *recordingSink) Failed(id string, err error) error {
	*s.told = append(*s.told, id, err)
	return nil
}

// TestZeroValuesCross: nothing known stays nothing known.
func TestZeroValuesCross(t *testing.T) {
	remote := pipeTo(t, &funcs{
		search: func(_ context.Context, r *SearchRequest) (*SearchResponse, error) {
			if diff := cmp.Diff(&SearchRequest{}, r); diff != "" {
				t.Errorf("request:\n%s", diff)
			}
			return &SearchResponse{}, nil
		},
	})
	resp, err := remote.Search(t.Context(), &SearchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&SearchResponse{}, resp); diff != "" {
		t.Errorf("answer:\n%s", diff)
	}
}

// TestUglyStringsCross: mail is full of bytes that are not UTF-8, and gRPC
// refuses a message for one of them.
func TestUglyStringsCross(t *testing.T) {
	remote := pipeTo(t, &funcs{
		fetch: func(_ context.Context, _ *FetchRequest, sink FetchSink) error {
			return sink.Message(&mail.Message{ProviderID: "1", Subject: "caf\xe9", From: []mail.Address{{Name: "\xff"}}})
		},
	})
	var told []any
	if err := remote.Fetch(t.Context(), &FetchRequest{}, &recordingSink{&told}); err != nil {
		t.Fatal(err)
	}
	want := []any{&mail.Message{ProviderID: "1", Subject: "caf\uFFFD", From: []mail.Address{{Name: "\uFFFD"}}}}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}

// funcs is a provider of the few verbs that a test needs.
type funcs struct {
	Unsupported
	describe func(context.Context) (*Info, error)
	session  func(context.Context, Host) error
	mailbox  func(context.Context, *MailboxesRequest) (*MailboxesResponse, error)
	search   func(context.Context, *SearchRequest) (*SearchResponse, error)
	fetch    func(context.Context, *FetchRequest, FetchSink) error
	changes  func(context.Context, *ChangesRequest, func(*mail.Batch) error) error
	appended func(context.Context, *AppendRequest, io.Reader) (*AppendResponse, error)
	send     func(context.Context, *SendRequest) (*SendResponse, error)
}

func (f *funcs) Describe(ctx context.Context) (*Info, error) { return f.describe(ctx) }
func (f *funcs) Configure(context.Context, *ConfigureRequest) (*ConfigureResponse, error) {
	return &ConfigureResponse{}, nil
}
func (f *funcs) Session(ctx context.Context, h Host) error {
	if f.session == nil {
		return f.Unsupported.Session(ctx, h)
	}
	return f.session(ctx, h)
}
func (f *funcs) Open(context.Context, *OpenRequest) error   { return nil }
func (f *funcs) Close(context.Context, *CloseRequest) error { return nil }
func (f *funcs) Mailboxes(ctx context.Context, r *MailboxesRequest) (*MailboxesResponse, error) {
	return f.mailbox(ctx, r)
}
func (f *funcs) Enumerate(context.Context, *EnumerateRequest, func(*EnumerateBatch) error) error {
	return unsupported("enumerate")
}
func (f *funcs) Changes(ctx context.Context, r *ChangesRequest, each func(*mail.Batch) error) error {
	return f.changes(ctx, r, each)
}
func (f *funcs) Fetch(ctx context.Context, r *FetchRequest, sink FetchSink) error {
	return f.fetch(ctx, r, sink)
}
func (f *funcs) Append(ctx context.Context, r *AppendRequest, raw io.Reader) (*AppendResponse, error) {
	return f.appended(ctx, r, raw)
}
func (f *funcs) Send(ctx context.Context, r *SendRequest) (*SendResponse, error) {
	return f.send(ctx, r)
}
func (f *funcs) Search(ctx context.Context, r *SearchRequest) (*SearchResponse, error) {
	return f.search(ctx, r)
}
