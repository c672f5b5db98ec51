// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessControlDefaultAdminRules} from
    "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Capped} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Capped.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @title Reward token of CohortLens
/// @notice An ERC-20 token of which each reward is minted at most once, whichever way it is asked for.
/// @dev Not upgradable. Amounts are micro-tokens (6 decimals). A reward has an identifier of 32 bytes; `settled`
/// holds it for ever once it was minted, claimed or cancelled, so neither a lost answer nor a restored
/// database nor a second way of delivery can mint it again.
contract RewardToken is ERC20Capped, AccessControlDefaultAdminRules, EIP712, Pausable {
    /// @notice May mint, and may cancel what is claimable.
    bytes32 public constant MINTER_ROLE = keccak256("MINTER_ROLE");
    /// @notice Signs vouchers; its key never sends a transaction.
    bytes32 public constant VOUCHER_ROLE = keccak256("VOUCHER_ROLE");
    /// @notice May publish Merkle roots.
    bytes32 public constant EPOCH_ROLE = keccak256("EPOCH_ROLE");
    /// @notice May stop minting and claiming; only the admin starts it again.
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    /// @notice Most rows of one batch.
    uint256 public constant MAX_BATCH = 200;

    bytes32 private constant CLAIM_TYPEHASH =
        keccak256("Claim(address to,uint256 amount,bytes32 rewardId,uint256 deadline)");

    /// @notice A published root. One slot holds its sums, so a claim writes it once.
    /// @dev 96 bits hold 7.9e28 micro-tokens.
    struct Epoch {
        bytes32 root;
        uint96 total;
        uint96 claimed;
        uint64 expiresAt;
    }

    /// @notice True once a reward was minted, claimed or cancelled.
    mapping(bytes32 rewardId => bool) public settled;
    /// @notice Published roots by number.
    mapping(uint256 epoch => Epoch) public epochs;

    /// @notice Most micro-tokens that all ways together may mint on one UTC day.
    uint128 public dailyCap;
    uint32 private _day;
    uint96 private _mintedOnDay;

    event RewardMinted(bytes32 indexed rewardId, address indexed to, uint256 amount);
    event RewardCancelled(bytes32 indexed rewardId);
    event EpochPublished(uint256 indexed epoch, bytes32 root, uint256 total, uint256 expiresAt);
    event DailyCapChanged(uint256 dailyCap);

    error AlreadySettled(bytes32 rewardId);
    error AmountInvalid(bytes32 rewardId);
    error DailyCapExceeded(uint256 dailyCap);
    error LengthMismatch();
    error BatchTooLarge(uint256 rows);
    error VoucherExpired(uint256 deadline);
    error VoucherSignerInvalid();
    error EpochInvalid(uint256 epoch);
    error ProofInvalid();

    /// @param admin Holds the roles of others and unpauses; changes hands with a delay of 2 days.
    /// @param minter Gets MINTER_ROLE and EPOCH_ROLE.
    /// @param voucherSigner Gets VOUCHER_ROLE.
    /// @param pauser Gets PAUSER_ROLE.
    /// @param cap_ Most micro-tokens that can ever exist.
    /// @param dailyCap_ Most micro-tokens a day.
    constructor(
        address admin,
        address minter,
        address voucherSigner,
        address pauser,
        uint256 cap_,
        uint128 dailyCap_
    )
        ERC20("CohortLens Reward", "CLR")
        ERC20Capped(cap_)
        AccessControlDefaultAdminRules(2 days, admin)
        EIP712("CohortLens Reward", "1")
    {
        _grantRole(MINTER_ROLE, minter);
        _grantRole(EPOCH_ROLE, minter);
        _grantRole(VOUCHER_ROLE, voucherSigner);
        _grantRole(PAUSER_ROLE, pauser);
        dailyCap = dailyCap_;
    }

    /// @inheritdoc ERC20
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice Mint one reward.
    function mintReward(bytes32 rewardId, address to, uint256 amount)
        external
        onlyRole(MINTER_ROLE)
        whenNotPaused
    {
        _spendDailyCap(amount);
        _settle(rewardId);
        _mintReward(rewardId, to, amount);
    }

    /// @notice Mint many rewards. A settled row is skipped, so that one duplicate cannot block a batch.
    function mintRewardBatch(bytes32[] calldata rewardIds, address[] calldata to, uint256[] calldata amounts)
        external
        onlyRole(MINTER_ROLE)
        whenNotPaused
    {
        uint256 rows = rewardIds.length;
        if (rows != to.length || rows != amounts.length) revert LengthMismatch();
        if (rows > MAX_BATCH) revert BatchTooLarge(rows);
        uint256 sum;
        for (uint256 row; row < rows; ++row) {
            bytes32 rewardId = rewardIds[row];
            if (settled[rewardId]) continue;
            settled[rewardId] = true;
            sum += amounts[row];
            _mintReward(rewardId, to[row], amounts[row]);
        }
        _spendDailyCap(sum);
    }

    /// @notice Mint a reward with a voucher; anyone may send it, the tokens go where the voucher says.
    /// @param signature 65 bytes, low s, of an account with VOUCHER_ROLE over the EIP-712 type `Claim`.
    function claim(address to, uint256 amount, bytes32 rewardId, uint256 deadline, bytes calldata signature)
        external
        whenNotPaused
    {
        if (block.timestamp > deadline) revert VoucherExpired(deadline);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(CLAIM_TYPEHASH, to, amount, rewardId, deadline)));
        (address signer, ECDSA.RecoverError fault,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (fault != ECDSA.RecoverError.NoError || !hasRole(VOUCHER_ROLE, signer)) revert VoucherSignerInvalid();
        _spendDailyCap(amount);
        _settle(rewardId);
        _mintReward(rewardId, to, amount);
    }

    /// @notice Publish the root of a Merkle tree of rewards; a number is used once.
    /// @param total Sum of the leaves: claims of this epoch never exceed it.
    function publishEpoch(uint256 epoch, bytes32 root, uint96 total, uint64 expiresAt)
        external
        onlyRole(EPOCH_ROLE)
        whenNotPaused
    {
        bool isUsed = epochs[epoch].root != 0;
        if (isUsed || root == 0 || total == 0 || expiresAt <= block.timestamp) revert EpochInvalid(epoch);
        epochs[epoch] = Epoch({root: root, total: total, claimed: 0, expiresAt: expiresAt});
        emit EpochPublished(epoch, root, total, expiresAt);
    }

    /// @notice Mint a reward of an epoch; anyone may send it.
    /// @param proof Siblings from the leaf up; the leaf is keccak(keccak(abi.encode(epoch, to, amount, rewardId))).
    function claimEpoch(uint256 epoch, address to, uint256 amount, bytes32 rewardId, bytes32[] calldata proof)
        external
        whenNotPaused
    {
        Epoch storage published = epochs[epoch];
        uint256 claimed = uint256(published.claimed) + amount;
        if (block.timestamp > published.expiresAt || claimed > published.total) revert EpochInvalid(epoch);
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(epoch, to, amount, rewardId))));
        if (!MerkleProof.verifyCalldata(proof, published.root, leaf)) revert ProofInvalid();
        // Bounded by `total`, which has 96 bits.
        published.claimed = uint96(claimed);
        _spendDailyCap(amount);
        _settle(rewardId);
        _mintReward(rewardId, to, amount);
    }

    /// @notice Settle a reward without minting it, so that no voucher or proof of it works any more.
    function cancelReward(bytes32 rewardId) external onlyRole(MINTER_ROLE) {
        _settle(rewardId);
        emit RewardCancelled(rewardId);
    }

    /// @notice Stop minting and claiming; transfers go on.
    function pause() external onlyRole(PAUSER_ROLE) {
        _pause();
    }

    /// @notice Let minting and claiming go on.
    function unpause() external onlyRole(DEFAULT_ADMIN_ROLE) {
        _unpause();
    }

    /// @notice Change how much may be minted a day.
    function setDailyCap(uint128 dailyCap_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        dailyCap = dailyCap_;
        emit DailyCapChanged(dailyCap_);
    }

    function _settle(bytes32 rewardId) private {
        if (settled[rewardId]) revert AlreadySettled(rewardId);
        settled[rewardId] = true;
    }

    function _mintReward(bytes32 rewardId, address to, uint256 amount) private {
        if (amount == 0) revert AmountInvalid(rewardId);
        _mint(to, amount);
        emit RewardMinted(rewardId, to, amount);
    }

    function _spendDailyCap(uint256 amount) private {
        uint32 today = uint32(block.timestamp / 1 days);
        uint256 minted = amount + (today == _day ? _mintedOnDay : 0);
        if (minted > dailyCap || minted > type(uint96).max) revert DailyCapExceeded(dailyCap);
        _day = today;
        _mintedOnDay = uint96(minted);
    }
}
