// TimescaleDB behind a TCP port of this machine, for any number of clients. There is one backend,
// which serves one client after the other, each until the end of its transaction.
//
//     node bridge.mjs [PORT]     ends with its standard input, so that it outlives nobody

import net from 'node:net'
import { MessageChannel, Worker } from 'node:worker_threads'
import { Client, isOfCopy } from './client.mjs'
import * as messages from './messages.mjs'

// Seconds that a command may take, as nothing but the end of the process cancels one; and that a
// client may leave a transaction open for which others wait, perhaps in the same thread.
const COMMAND_SECONDS = Number(process.env.BRIDGE_COMMAND_SECONDS ?? 100)
const IDLE_SECONDS = Number(process.env.BRIDGE_IDLE_SECONDS ?? 20)
const PENDING_BYTES = 4 << 20
const LITTER = 100
// There is no checkpointer: the write-ahead log, which is in memory too, would grow for ever.
const CHECKPOINT_BYTES = 32 << 20
const CHECKPOINT_SECONDS = 30
// PGlite starts PostgreSQL with other values, and RESET ALL brings those back.
const DEFAULTS = [
  'SET search_path TO public',
  "SET timezone TO 'UTC'",
  'SET client_min_messages TO notice',
  'SET enable_seqscan TO on',
  'SET exit_on_error TO off',
]
const CANCEL_REQUEST = 80877102
const ENCRYPTION_REQUESTS = [80877103, 80877104] // SSL, GSS

const clients = new Set()
const queue = [] // clients that wait for their turn
let owner = null // whose turn it is
let settled = null // whose settings are in force
let isWaiting = false // the backend, for a message
let isCopying = false // and it can only be one of a COPY
let isInternal = false // what the backend does is not for the owner
let status = 'I' // of the transaction: I none, T open, E failed, ? in the middle of a command
let since = Date.now() // the backend waits, or does not
let writtenBytes = 0
let checkpointAt = Date.now()
let parameters
let lastId = 0

const { port1: toBackend, port2: port } = new MessageChannel()
const bell = new Int32Array(new SharedArrayBuffer(4))
const backend = new Worker(new URL('backend.mjs', import.meta.url), {
  workerData: { port, bell, defaults: DEFAULTS },
  transferList: [port],
})

function feed(bytes, forOwner = false) {
  isWaiting = false
  isInternal = !forOwner
  status = '?'
  since = Date.now()
  writtenBytes += bytes.length
  toBackend.postMessage(bytes)
  Atomics.store(bell, 0, 1)
  Atomics.notify(bell, 0)
}

// Do what comes next. Called whenever that may have changed; the backend must wait for it.
function proceed() {
  if (!isWaiting) return
  const isBetween = status === 'I' && !isCopying && !owner?.isMidway
  if (isBetween && !isInternal) endTurn()
  owner ??= queue.shift() ?? null
  if (!owner) return
  if (owner.isGone) return leave()
  if (isBetween && mustSettle()) return settle()
  if (!owner.pending.length) return
  feed(owner.take(), true)
  owner.socket.resume()
}

function endTurn() {
  if (owner?.isGone || owner?.pending.length) queue.push(owner)
  owner = null
}

function mustSettle() {
  return settled !== owner || owner.isStale || owner.litter > LITTER || isCheckpointDue()
}

function isCheckpointDue() {
  const seconds = (Date.now() - checkpointAt) / 1000
  return writtenBytes > CHECKPOINT_BYTES || (writtenBytes && seconds > CHECKPOINT_SECONDS)
}

// Put the owner's settings in force, before its turn.
function settle() {
  const statements = ['RESET ALL', ...DEFAULTS, ...owner.settings].join(';')
  const made = [...owner.forget(), messages.query('RESET ROLE')]
  if (isCheckpointDue()) {
    made.push(messages.query('CHECKPOINT'))
    writtenBytes = 0
    checkpointAt = Date.now()
  }
  made.push(messages.query(statements))
  feed(Buffer.concat(made))
  settled = owner
  owner.isStale = false
}

// Undo what a client that is gone has left half done: one step each time.
function leave() {
  if (isCopying) return feed(messages.message('f', messages.strings('the client is gone')))
  if (status === '?' || owner.isMidway) {
    owner.isMidway = false
    return feed(messages.SYNC)
  }
  if (status !== 'I') return feed(messages.query('ROLLBACK'))
  clients.delete(owner)
  const statements = owner.forget()
  owner = null
  if (statements.length) return feed(Buffer.concat([...statements, messages.SYNC]))
  proceed()
}

const answers = new messages.Splitter(true)

function answer(bytes) {
  const sent = []
  for (const each of answers.push(bytes)) {
    const letter = messages.letterOf(each)
    if (letter === 'A') notify(each)
    else if (!isInternal) sent.push(each)
    else if (letter === 'E' && owner && !owner.isGone) end(owner, each) // a setting that is refused
    if (letter === 'G') isCopying = true
    if (isCopying && 'CEZ'.includes(letter)) {
      isCopying = false
      owner.dropRows()
    }
    if (letter === 'Z') status = String.fromCharCode(each[5])
    if (!isInternal) owner.observe(each)
  }
  if (sent.length && !owner.isGone) owner.socket.write(Buffer.concat(sent))
}

function notify(each) {
  const [channel] = messages.stringAt(each, 9)
  for (const client of clients) {
    if (client.channels.has(channel) && !client.isGone) client.socket.write(each)
  }
}

function end(client, error) {
  client.socket.end(error)
  gone(client)
}

function gone(client) {
  if (client.isGone) return
  client.isGone = true
  client.take()
  enqueue(client)
}

function enqueue(client) {
  if (client !== owner && !queue.includes(client)) queue.push(client)
  proceed()
}

function accept(socket) {
  socket.setNoDelay(true)
  const client = new Client(++lastId, socket)
  clients.add(client)
  const splitter = new messages.Splitter(false)
  socket.on('data', (bytes) => {
    for (const each of splitter.push(bytes)) {
      if (splitter.hasLetters) hear(client, each)
      else splitter.hasLetters = greet(client, each)
    }
    if (client.pending.length) enqueue(client)
    if (client.pendingBytes > PENDING_BYTES) socket.pause()
  })
  socket.on('close', () => gone(client))
  socket.on('error', () => gone(client))
}

function hear(client, received) {
  if (messages.letterOf(received) === 'X') client.socket.end()
  else if (!isOfCopy(received) || (isCopying && client === owner)) client.receive(received)
}

// Answer a message without a letter; return whether it began the session.
function greet(client, received) {
  const code = received.readInt32BE(4)
  if (ENCRYPTION_REQUESTS.includes(code)) client.socket.write('N')
  else if (code === CANCEL_REQUEST) client.socket.end()
  else {
    client.start(received.subarray(8))
    const reports = Object.entries(parameters).map((each) => ['S', messages.strings(...each)])
    const begin = ['R', Buffer.alloc(4)] // no password is asked for
    const end = [['K', Buffer.alloc(8)], ['Z', Buffer.from('I')]]
    const made = [begin, ...reports, ...end].map((each) => messages.message(...each))
    client.socket.write(Buffer.concat(made))
    return true
  }
  return false
}

function fail(reason) {
  console.error(`bridge: ${reason}`)
  process.exit(1)
}

function watch() {
  const seconds = (Date.now() - since) / 1000
  if (!isWaiting && seconds > COMMAND_SECONDS) {
    fail(`a command took longer than ${COMMAND_SECONDS} s`)
  }
  if (!isWaiting || !owner || !queue.length || seconds < IDLE_SECONDS) return
  const text = `this transaction did nothing for ${IDLE_SECONDS} s while another client waited`
  end(owner, messages.fatal('25P03', text))
}

const server = net.createServer(accept)

backend.on('message', (told) => {
  if (told.parameters) {
    parameters = told.parameters
    server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
      console.log(`listening on ${server.address().port}`)
    })
    setInterval(watch, 500)
  } else if (told.output) answer(Buffer.from(told.output))
  else {
    isWaiting = true
    since = Date.now()
    proceed()
  }
})
backend.on('error', (error) => fail(error.stack))
process.stdin.on('end', () => process.exit(0)).resume()
