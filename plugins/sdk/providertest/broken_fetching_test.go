package providertest_test

import (
	"bytes"
	"context"
	"io"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// sieve is a sink between provider and caller.
type sieve struct {
	provider.FetchSink
	message func(*mail.Message) error
	raw     func(id, tag string, r io.Reader) error
	failed  func(id string, err error) error
}

func (s *sieve) Message(m *mail.Message) error {
	return or(s.message, s.message != nil, s.FetchSink.Message)(m)
}

func (s *sieve) Raw(id, tag string, r io.Reader) error {
	return or(s.raw, s.raw != nil, s.FetchSink.Raw)(id, tag, r)
}

func (s *sieve) Failed(id string, err error) error {
	return or(s.failed, s.failed != nil, s.FetchSink.Failed)(id, err)
}

// sieved puts a sieve before every sink.
func sieved(change func(s *sieve, sink provider.FetchSink)) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.fetch = func(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
			s := &sieve{FetchSink: sink}
			change(s, sink)
			return whole.Fetch(ctx, req, s)
		}
	}
}

// edited changes metadata on its way.
func edited(change func(*mail.Message)) func(context.Context, *bent, *memory.Provider) {
	return sieved(func(s *sieve, sink provider.FetchSink) {
		s.message = func(m *mail.Message) error {
			change(m)
			return sink.Message(m)
		}
	})
}

func brokenFetching() []broken {
	return []broken{
		{name: "loses the references", caught: "fetch/metadata",
			spoil: edited(func(m *mail.Message) { m.References = nil })},
		{name: "leaves brackets around ids", caught: "fetch/metadata",
			spoil: edited(func(m *mail.Message) { m.MessageID = "<" + m.MessageID + ">" })},
		{name: "says the wrong mailbox", caught: "fetch/placement",
			spoil: edited(func(m *mail.Message) { m.Mailboxes = []string{"archive"} })},
		{name: "has keywords that it cannot hold", caught: "fetch/placement",
			spoil: edited(func(m *mail.Message) { m.Keywords = append(m.Keywords, "$telepathic") })},
		{name: "cuts raw bytes", caught: "fetch/raw",
			spoil: sieved(func(s *sieve, sink provider.FetchSink) {
				s.raw = func(id, tag string, r io.Reader) error { return sink.Raw(id, tag, io.LimitReader(r, 256<<10)) }
			})},
		{name: "changes line ends", caught: "fetch/exact",
			spoil: sieved(func(s *sieve, sink provider.FetchSink) {
				s.raw = func(id, tag string, r io.Reader) error {
					b, err := io.ReadAll(r)
					if err != nil {
						return err
					}
					return sink.Raw(id, tag, bytes.NewReader(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))))
				}
			})},
		{name: "writes a new header each time", caught: "fetch/repeat",
			spoil: func(ctx context.Context, b *bent, whole *memory.Provider) {
				n := 0
				sieved(func(s *sieve, sink provider.FetchSink) {
					s.raw = func(id, tag string, r io.Reader) error {
						n++
						return sink.Raw(id, tag, io.MultiReader(bytes.NewReader(bytes.Repeat([]byte("X-Served: yes\r\n"), n)), r))
					}
				})(ctx, b, whole)
			}},
		{name: "answers twice", caught: "fetch/each-once",
			spoil: sieved(func(s *sieve, sink provider.FetchSink) {
				s.message = func(m *mail.Message) error {
					if err := sink.Message(m); err != nil {
						return err
					}
					return sink.Message(m)
				}
			})},
		{name: "calls a sink that is busy", caught: "fetch/each-once",
			spoil: sieved(func(s *sieve, sink provider.FetchSink) {
				s.raw = func(id, tag string, r io.Reader) error {
					return sink.Raw(id, tag, io.MultiReader(r, intruder(func() {
						_ = sink.Failed("another", mail.Errorf(mail.KindInternal, "fetch", "meanwhile"))
					})))
				}
			})},
		{name: "says unavailable where it means not found", caught: "fetch/gone",
			spoil: sieved(func(s *sieve, sink provider.FetchSink) {
				s.failed = func(id string, err error) error {
					return sink.Failed(id, mail.Errorf(mail.KindUnavailable, "fetch", "%v", err))
				}
			})},
		{name: "fails everything for one bad id", caught: "fetch/malformed-id",
			spoil: sieved(func(s *sieve, _ provider.FetchSink) {
				s.failed = func(_ string, err error) error { return err }
			})},
		{name: "gives everything where nothing is asked for", caught: "fetch/nothing",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.fetch = func(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
					if len(req.IDs) == 0 {
						return sink.Message(&mail.Message{ProviderID: "msg-1"})
					}
					return whole.Fetch(ctx, req, sink)
				}
			}},
		{name: "runs messages together", caught: "fetch/half-read",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.fetch = func(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
					var all bytes.Buffer // one stream for all messages, read as far as the sink likes
					return whole.Fetch(ctx, req, &sieve{FetchSink: sink, raw: func(id, tag string, r io.Reader) error {
						n, err := io.Copy(&all, r)
						if err != nil {
							return err
						}
						return sink.Raw(id, tag, io.LimitReader(&all, n))
					}})
				}
			}},
		{name: "swallows the sink's error", caught: "fetch/stops",
			spoil: sieved(func(s *sieve, sink provider.FetchSink) {
				s.message = func(m *mail.Message) error { _ = sink.Message(m); return nil }
			})},
	}
}

// intruder is an empty reader that does something when it is read.
type intruder func()

func (i intruder) Read([]byte) (int, error) {
	i()
	return 0, io.EOF
}
