package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/coder/websocket"
)

// subprotocol is graphql-ws's protocol, the only one spoken here.
const subprotocol = "graphql-transport-ws"

// serveSocket upgrades to graphql-transport-ws. gqlgen keeps the protocol; the
// connection under it is socket, which bounds every write.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	var offered []string
	for _, header := range r.Header.Values("Sec-WebSocket-Protocol") {
		for _, name := range strings.Split(header, ",") {
			offered = append(offered, strings.TrimSpace(name))
		}
	}
	if r.Method != http.MethodGet || !slices.Contains(offered, subprotocol) {
		s.refuse(w, r, http.StatusBadRequest, invalid("the WebSocket protocol here is %s", subprotocol))
		return
	}
	ctx, cancel := s.streaming(r.Context())
	defer cancel()
	s.sockets.Do(w, r.WithContext(ctx), s.exec)
}

// acceptor makes sockets of requests.
type acceptor struct{ s *Server }

func (a acceptor) Accept(w http.ResponseWriter, r *http.Request, _ transport.WebsocketAcceptOptions) (transport.WebsocketConn, error) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{subprotocol},
		// Any origin: a page of another one has no key to present, and browsers add
		// none, since there are no cookies.
		OriginPatterns: []string{"*"},
	})
	if err != nil {
		return nil, err
	}
	return &socket{conn: conn, closing: a.s.closing}, nil
}

// socket is a WebSocket as gqlgen's transport wants it. A write that a client does
// not take within writeTimeout breaks the connection.
type socket struct {
	conn    *websocket.Conn
	closing context.Context

	mu sync.Mutex
	// failed are operations that were answered with an error.
	failed   map[string]bool
	deadline *time.Timer
	ended    chan struct{} // closed when the closing handshake is over
}

func (c *socket) NextReader() (int, io.Reader, error) {
	kind, data, err := c.conn.Read(context.Background())
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd:
		return int(kind), nil, transport.ErrWebsocketClosed
	}
	if err == nil {
		c.begins(data)
	}
	return int(kind), bytes.NewReader(data), err
}

// maxFailed bounds how many operations are remembered to have failed.
const maxFailed = 128

// frame is what all messages of the protocol have.
type frame struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// begins forgets that an operation failed whose id is used anew.
func (c *socket) begins(data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var f frame
	if len(c.failed) > 0 && json.Unmarshal(data, &f) == nil && f.Type == "subscribe" {
		delete(c.failed, f.ID)
	}
}

// over reports whether a message says that an operation is complete that an
// error has ended already: by the protocol nothing follows an error, though
// gqlgen sends both.
func (c *socket) over(data []byte) bool {
	// What it writes ends with the type; of the long ones nothing is to be read.
	failed, complete := bytes.HasSuffix(data, []byte(`"type":"error"}`)), bytes.HasSuffix(data, []byte(`"type":"complete"}`))
	var f frame
	if !failed && !complete || json.Unmarshal(data, &f) != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if complete {
		was := c.failed[f.ID]
		delete(c.failed, f.ID)
		return was
	}
	if c.failed == nil || len(c.failed) >= maxFailed {
		c.failed = map[string]bool{}
	}
	c.failed[f.ID] = true
	return false
}

func (c *socket) WriteJSON(v any) error {
	data, err := json.Marshal(v)
	if err != nil || c.over(data) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return c.conn.Write(ctx, websocket.MessageText, data)
}

// The protocol's close codes, which gqlgen does not all use.
const (
	closeBadRequest  = 4400
	closeInitTimeout = 4408
)

// WriteClose begins the closing handshake. It runs beside the caller, which holds
// a lock, and is over at the latest after coder/websocket's 5 seconds.
func (c *socket) WriteClose(code int, reason string) error {
	switch {
	case reason == "connection initialisation timeout":
		code = closeInitTimeout
	case code == transport.WebsocketCloseProtocolError:
		code = closeBadRequest
	case code == transport.WebsocketCloseNormalClosure && c.closing.Err() != nil:
		code, reason = int(websocket.StatusGoingAway), "the gateway is stopping"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopDeadline()
	if c.ended != nil {
		return nil
	}
	c.ended = make(chan struct{})
	if len(reason) > 120 { // RFC 6455, 5.5: 125 octets with the code
		reason = strings.ToValidUTF8(reason[:120], "")
	}
	go func() {
		defer close(c.ended)
		_ = c.conn.Close(websocket.StatusCode(code), reason)
	}()
	return nil
}

func (c *socket) Close() error {
	c.mu.Lock()
	c.stopDeadline()
	ended := c.ended
	c.mu.Unlock()
	if ended != nil {
		<-ended // so that the request, and Shutdown, outlive the handshake
		return nil
	}
	return c.conn.CloseNow()
}

func (c *socket) Subprotocol() string      { return c.conn.Subprotocol() }
func (c *socket) SetReadLimit(limit int64) { c.conn.SetReadLimit(limit) }

// SetReadDeadline breaks the connection at t: nothing came for too long.
func (c *socket) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopDeadline()
	if !t.IsZero() {
		c.deadline = time.AfterFunc(time.Until(t), func() { _ = c.conn.CloseNow() })
	}
	return nil
}

func (c *socket) stopDeadline() {
	if c.deadline != nil {
		c.deadline.Stop()
		c.deadline = nil
	}
}
