package provider

import (
	"io"

	"google.golang.org/grpc"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

func (s *server) Enumerate(req *pb.EnumerateRequest, stream grpc.ServerStreamingServer[pb.EnumerateResponse]) error {
	return s.p.Enumerate(stream.Context(), enumerateFromPB(req), func(b *EnumerateBatch) error {
		return stream.Send(enumeratedToPB(b))
	})
}

func (s *server) Changes(req *pb.ChangesRequest, stream grpc.ServerStreamingServer[pb.ChangesResponse]) error {
	return s.p.Changes(stream.Context(), changesFromPB(req), func(b *mail.Batch) error {
		return stream.Send(batchToPB(b))
	})
}

func (s *server) Listen(_ *pb.ListenRequest, stream grpc.ServerStreamingServer[pb.ListenResponse]) error {
	return s.p.Listen(stream.Context(), &ListenRequest{}, func(h *Hint) error {
		return stream.Send(&pb.ListenResponse{Hint: hintToPB(h)})
	})
}

func (s *server) Fetch(req *pb.FetchRequest, stream grpc.ServerStreamingServer[pb.FetchResponse]) error {
	return s.p.Fetch(stream.Context(), fetchFromPB(req), &streamSink{stream})
}

// streamSink is the FetchSink that writes to the wire.
type streamSink struct {
	stream grpc.ServerStreamingServer[pb.FetchResponse]
}

func (k *streamSink) Message(m *mail.Message) error {
	return k.stream.Send(&pb.FetchResponse{Part: &pb.FetchResponse_Message{Message: messageToPB(m)}})
}

func (k *streamSink) Failed(providerID string, err error) error {
	return k.stream.Send(&pb.FetchResponse{Part: &pb.FetchResponse_Failed{
		Failed: &pb.FetchFailure{ProviderId: valid(providerID), Error: errorToPB(err)},
	}})
}

// Raw sends the bytes as they come. Where r fails, the host is told so, since
// it has begun to read; and the provider gets the error back.
func (k *streamSink) Raw(providerID, contentTag string, r io.Reader) error {
	first := true
	send := func(c *pb.RawChunk) error {
		if first {
			c.ProviderId, c.ContentTag, first = valid(providerID), valid(contentTag), false
		}
		return k.stream.Send(&pb.FetchResponse{Part: &pb.FetchResponse_Raw{Raw: c}})
	}
	failed, err := chunks(r, func(piece []byte, last bool) error {
		return send(&pb.RawChunk{Data: piece, Last: last})
	})
	if failed {
		if sendErr := send(&pb.RawChunk{Last: true, Error: errorToPB(err)}); sendErr != nil {
			return sendErr
		}
	}
	return err
}

func (s *server) Append(stream grpc.ClientStreamingServer[pb.AppendRequest, pb.AppendResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	header := first.GetHeader()
	if header == nil {
		return noHeader(VerbAppend)
	}
	resp, err := s.p.Append(stream.Context(), appendFromPB(header), &uploadReader{
		size: header.GetSize(),
		next: func() ([]byte, error) {
			m, err := stream.Recv()
			return m.GetChunk(), err
		},
	})
	out, err := reply(resp, err, func(r *AppendResponse) *pb.AppendResponse {
		return &pb.AppendResponse{Message: messageToPB(&r.Message)}
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(out)
}

func (s *server) Prepare(stream grpc.ClientStreamingServer[pb.PrepareRequest, pb.PrepareResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	header := first.GetHeader()
	if header == nil {
		return noHeader(VerbPrepare)
	}
	resp, err := s.p.Prepare(stream.Context(), prepareFromPB(header), &uploadReader{
		size: header.GetSize(),
		next: func() ([]byte, error) {
			m, err := stream.Recv()
			return m.GetChunk(), err
		},
	})
	out, err := reply(resp, err, func(r *PrepareResponse) *pb.PrepareResponse {
		return &pb.PrepareResponse{Prepared: preparedToPB(&r.Prepared)}
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(out)
}

func noHeader(verb Verb) error {
	return &mail.Error{Kind: mail.KindInvalid, Op: verb.Words(), Message: "the stream does not begin with its header"}
}
