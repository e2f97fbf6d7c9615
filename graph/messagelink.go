package graph

import (
	"errors"
	"net/http"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Messages answers at /messages/{id}: whoever has a key is sent on to the bytes
// of the message, at a freshly signed URL. Unlike that URL this one is good for
// as long as the message is, so webhooks can tell it.
func (s *Server) Messages() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			s.refuse(w, r, http.StatusMethodNotAllowed, invalid("the methods are GET and HEAD"))
			return
		}
		ctx, err := s.authenticate(r.Context(), r.Header.Get("Authorization"))
		if err != nil {
			status := http.StatusServiceUnavailable
			if mail.KindOf(err) == mail.KindUnauthorized {
				status = http.StatusUnauthorized
			}
			s.refuse(w, r, status, err)
			return
		}
		id := r.PathValue("id")
		err = s.store.View(ctx, func(tx store.Tx) error {
			_, err := tx.Message(id)
			return err
		})
		if errors.Is(err, store.ErrNotFound) {
			err = &mail.Error{Kind: mail.KindNotFound, Message: "no such message", Err: err}
		}
		if err != nil {
			s.refuse(w, r, blobStatus(err), err)
			return
		}
		http.Redirect(w, r, s.blobURL(blobRaw, id, ""), http.StatusSeeOther)
	})
}
