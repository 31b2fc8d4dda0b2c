import { type ForeignTransactions, TransactionLedger } from '../../../src/kernel/foreign-transactions.ts'

/** A kernel that counts transactions. */
class Kernel {
  #generation: number

  constructor(generation = 7) {
    this.#generation = generation
  }

  commit(transactions = 1): void {
    this.#generation = (this.#generation + transactions) >>> 0
  }

  async generation(): Promise<number> {
    return Promise.resolve(this.#generation)
  }
}

let kernel: Kernel
let ledger: TransactionLedger
let view: ForeignTransactions

async function setUp(generation?: number): Promise<void> {
  kernel = new Kernel(generation)
  ledger = new TransactionLedger(kernel)
  view = await ledger.view()
}

beforeEach(async () => setUp())

const writing = (transactions: number) => async (): Promise<string> => {
  kernel.commit(transactions)
  return Promise.resolve('done')
}

test('happened() tells of a foreign transaction once, and of none before the view was made', async () => {
  expect(await view.happened()).toBe(false)
  kernel.commit()
  expect(await view.happened()).toBe(true)
  expect(await view.happened()).toBe(false)
})

test('ownWrites() takes as many transactions for its own as it was allowed, not one more', async () => {
  expect(await view.ownWrites(writing(2), 2)).toBe('done')
  expect(await view.happened()).toBe(false)
  await view.ownWrites(writing(2), 1)
  expect(await view.happened()).toBe(true)
})

test('ownWrites() without a number takes everything that happens meanwhile for its own', async () => {
  await view.ownWrites(writing(100))
  expect(await view.happened()).toBe(false)
})

test('ownWrites() that made fewer transactions than allowed hides no later one', async () => {
  await view.ownWrites(writing(0), 5)
  kernel.commit()
  expect(await view.happened()).toBe(true)
})

test('ownWrites() passes a failure on and keeps the count', async () => {
  const failing = view.ownWrites(async () => {
    kernel.commit()
    return Promise.reject(new Error('refused'))
  }, 1)
  await expect(failing).rejects.toThrow('refused')
  expect(await view.happened()).toBe(false)
})

test('happened() of one view says nothing about the writes of another, even when they overlap', async () => {
  const other = await ledger.view()
  const gate = Promise.withResolvers<undefined>()
  const slow = view.ownWrites(async () => {
    kernel.commit()
    await gate.promise
    kernel.commit()
  }, 2)
  await other.ownWrites(writing(1), 1)
  expect(await other.happened()).toBe(false)
  kernel.commit()
  gate.resolve(undefined)
  await slow
  expect(await view.happened()).toBe(true)
  expect(await other.happened()).toBe(true)
  expect(await other.happened()).toBe(false)
})

test('happened() is answered later while we write', async () => {
  kernel.commit()
  await view.ownWrites(async () => expect(await view.happened()).toBe(false), 0)
  expect(await view.happened()).toBe(true)
})

test('the count may pass the end of 32 bits', async () => {
  await setUp(0xffff_ffff)
  await view.ownWrites(writing(3), 3)
  expect(await view.happened()).toBe(false)
  kernel.commit()
  expect(await view.happened()).toBe(true)
})

test('ownWrites() does its work although the kernel does not answer', async () => {
  kernel.generation = async () => Promise.reject(new Error('silent'))
  expect(await view.ownWrites(writing(1), 1)).toBe('done')
})
