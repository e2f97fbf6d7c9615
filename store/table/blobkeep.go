package table

// Blobs that nobody else has (a message on its way out, one that is being
// appended) are kept until they are deleted. All others are a cache.

// KeepBlob says that a blob must stay until it is deleted.
func (tx *Tx) KeepBlob(n BlobName) error {
	if _, err := tx.dataKey(n.Life); err != nil {
		return err
	}
	return tx.put(bBlobKept, n.key(), []byte{1})
}

// BlobKept reports whether it must.
func (tx *Tx) BlobKept(n BlobName) (bool, error) {
	v, err := tx.get(bBlobKept, n.key())
	return v != nil, err
}

// ReleaseBlob says that it need not stay any more.
func (tx *Tx) ReleaseBlob(n BlobName) error { return tx.del(bBlobKept, n.key()) }
