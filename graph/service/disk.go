package service

// CodeDiskFull is the code of an error by which the gateway refuses what its
// disk has no room for. It is the gateway's own, and no provider's.
const CodeDiskFull = "disk_full"
